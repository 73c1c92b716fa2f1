package stage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"vapo/lib/contract"
	"vapo/lib/enginename"
	"vapo/lib/failure"
)

// paramSet is a parameter struct together with kong's model of it. Cache keys and flags both take names, defaults and
// enums from this model, so they always agree.
type paramSet[P any] struct {
	holder *paramHolder[P]
	parser *kong.Kong
	params []param
	given  map[string]bool // names of the parameters that were set, even if to their defaults
}

type paramHolder[P any] struct {
	P P `embed:""`
}

// newParams builds the model. It panics if the parameter struct breaks the contract, so any test of the stage finds
// such a mistake.
func newParams[P any]() *paramSet[P] {
	s := &paramSet[P]{holder: &paramHolder[P]{}}
	vars := varsOf[P]()
	parser, err := kong.New(s.holder, append(mappers(vars),
		kong.Name("params"), kong.NoDefaultHelp(),
		kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}))...)
	if err != nil {
		panic(fmt.Sprintf("stage: parameters of %T: %v", s.holder.P, err))
	}
	s.parser = parser
	for _, f := range parser.Model.Flags {
		if f.Name != "help" {
			s.params = append(s.params, newParam(f, vars))
		}
	}
	for i := range s.params {
		s.params[i].only = condition(s.params[i], s.params)
	}
	return s
}

// varsOf returns the variables that the tags of a parameter struct may contain as ${name}: engines, and those that its
// method Vars defines.
func varsOf[P any]() kong.Vars {
	vars := kong.Vars{"engines": enginename.Names}
	if p, ok := any(*new(P)).(interface{ Vars() map[string]string }); ok {
		maps.Copy(vars, p.Vars())
	}
	return vars
}

// mappers returns the kong options for parameters: the parser for JSON values and the variables.
func mappers(vars kong.Vars) []kong.Option {
	return []kong.Option{
		kong.TypeMapper(reflect.TypeFor[json.RawMessage](), jsonMapper{}),
		vars,
	}
}

// jsonMapper parses a parameter that is given as JSON text.
type jsonMapper struct{}

func (jsonMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("JSON", &text); err != nil {
		return err
	}
	if !json.Valid([]byte(text)) {
		return fmt.Errorf("not valid JSON: %.60s", text)
	}
	value := json.RawMessage(text)
	if strings.TrimSpace(text) == "null" {
		value = nil // for a stage, null means that the parameter is absent
	}
	target.Set(reflect.ValueOf(value))
	return nil
}

func (jsonMapper) PlaceHolder(f *kong.Flag) string {
	if f.Default == "" || f.Default == "null" {
		return "JSON"
	}
	return f.Default
}

// describe resets all parameters to their defaults and describes them.
func (s *paramSet[P]) describe() []contract.Param {
	out := make([]contract.Param, len(s.params))
	for i, p := range s.params {
		if err := p.Reset(); err != nil {
			panic(fmt.Sprintf("stage: default of parameter %s: %v", p.Name, err))
		}
		out[i] = p.describe()
	}
	return out
}

// given returns the names of the flags that a command line sets.
func given(kctx *kong.Context) map[string]bool {
	names := map[string]bool{}
	for _, p := range kctx.Path {
		if p.Flag != nil {
			names[p.Flag.Name] = true
		}
	}
	return names
}

// values returns the values of all parameters. A number that is not finite or is out of bounds is a usage error.
func (s *paramSet[P]) values() (map[string]any, error) {
	out := make(map[string]any, len(s.params))
	for _, p := range s.params {
		v := p.value()
		if err := p.within(v); err != nil {
			return nil, err
		}
		out[p.Name] = v
	}
	return out, nil
}

// Given tells Resolve which parameters the command line set.
type Given struct {
	params []param
	names  map[string]bool
}

// Preset sets parameters to the values of a preset, which are given as text by parameter name. It is a usage error if
// the command line sets one of these parameters to another value. preset is the name of the preset for the error
// message.
func (g Given) Preset(preset string, values map[string]string) error {
	var conflict error
	for _, name := range slices.Sorted(maps.Keys(values)) {
		text := values[name]
		i := slices.IndexFunc(g.params, func(p param) bool { return p.Name == name })
		if i < 0 {
			panic(fmt.Sprintf("stage: a preset sets %q, which is not a parameter", name))
		}
		p := g.params[i]
		before := p.value()
		token := kong.Token{Type: kong.FlagValueToken, Value: text}
		if err := p.Parse(kong.ScanFromTokens(token), p.Target); err != nil {
			panic(fmt.Sprintf("stage: a preset sets %s to %q: %v", name, text, err))
		}
		if conflict == nil && g.names[name] && !sameValue(before, p.value()) {
			conflict = failure.New(failure.Usage, fmt.Sprintf("leave out either %s or %s", name, preset),
				"parameter %s is %s, but %s sets it to %s", name, contract.Show(before), preset, text)
		}
	}
	return conflict
}

// resolve completes and validates the parameters, and returns the values.
func resolve[P any](spec *Stage[P], s *paramSet[P]) (map[string]any, error) {
	set, err := s.values()
	if err != nil {
		return nil, err
	}
	var wrong error
	if spec.Resolve != nil {
		wrong = spec.Resolve(&s.holder.P, Given{s.params, s.given})
	}
	// A parameter that has no effect is often the reason why Resolve refuses the others, so it is reported first. This
	// check must come after Resolve, because a preset may change which parameters have an effect.
	for i, d := range newParams[P]().describe() {
		if err := s.params[i].idle(set[d.Name], d.Default); err != nil {
			return nil, err
		}
	}
	if wrong != nil {
		return nil, failure.Default(failure.Usage, "", wrong)
	}
	return s.values()
}

// sameValue compares two parameter values. It ignores white space in JSON.
func sameValue(a, b any) bool {
	x, ok := a.(json.RawMessage)
	if !ok {
		return a == b
	}
	var p, q bytes.Buffer
	if json.Compact(&p, x) != nil || json.Compact(&q, b.(json.RawMessage)) != nil {
		return false
	}
	return bytes.Equal(p.Bytes(), q.Bytes())
}
