package stage

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"vapo/lib/contract"
	"vapo/lib/failure"
)

// paramSet is a parameter struct seen through kong's model of it, so that the
// names, defaults and enums used for keying are the ones flags are parsed by.
type paramSet[P any] struct {
	holder *paramHolder[P]
	parser *kong.Kong
	flags  []*kong.Flag
	given  map[string]bool // names of those that were not left out
}

type paramHolder[P any] struct {
	P P `embed:""`
}

// newParams builds the model. It panics on a parameter struct that breaks the
// contract, which the stage's own first test will show.
func newParams[P any]() *paramSet[P] {
	s := &paramSet[P]{holder: &paramHolder[P]{}}
	parser, err := kong.New(s.holder, append(mappers(),
		kong.Name("params"), kong.NoDefaultHelp(),
		kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}))...)
	if err != nil {
		panic(fmt.Sprintf("stage: parameters of %T: %v", s.holder.P, err))
	}
	s.parser = parser
	for _, f := range parser.Model.Flags {
		if f.Name == "help" {
			continue
		}
		if typeOf(f) == "" {
			panic(fmt.Sprintf("stage: parameter %s has type %s; use an int, float, string or bool kind or json.RawMessage", f.Name, f.Target.Type()))
		}
		if len(f.Tag.Envs) > 0 {
			panic(fmt.Sprintf("stage: parameter %s reads the environment; a run must be reproducible from its parameters", f.Name))
		}
		s.flags = append(s.flags, f)
	}
	conditions(s.flags)
	for _, f := range s.flags {
		bound(f, "min")
		bound(f, "max")
	}
	return s
}

func mappers() []kong.Option {
	return []kong.Option{kong.TypeMapper(reflect.TypeFor[json.RawMessage](), jsonMapper{})}
}

// jsonMapper parses a structured parameter, given as JSON text.
type jsonMapper struct{}

func (jsonMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("JSON", &text); err != nil {
		return err
	}
	if !json.Valid([]byte(text)) {
		return fmt.Errorf("not valid JSON: %s", clip(text, 60))
	}
	value := json.RawMessage(text)
	if strings.TrimSpace(text) == "null" {
		value = nil // absent and null are one value to a stage
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

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}

func typeOf(f *kong.Flag) string {
	t := f.Target.Type()
	if t == reflect.TypeFor[json.RawMessage]() {
		return "json"
	}
	if t.PkgPath() == "time" { // a duration would lose its unit
		return ""
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "int"
	case reflect.Float32, reflect.Float64:
		return "float"
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	}
	return ""
}

// valueOf reads a parameter as int64 (uint64 above its range), float64,
// string, bool or json.RawMessage.
func valueOf(f *kong.Flag) any {
	v := f.Target
	switch typeOf(f) {
	case "int":
		if v.CanUint() {
			if u := v.Uint(); u > math.MaxInt64 {
				return u
			}
			return int64(v.Uint())
		}
		return v.Int()
	case "float":
		if v.Kind() == reflect.Float32 {
			// the shortest decimal that is this float32, so 0.1 stays 0.1
			x, _ := strconv.ParseFloat(strconv.FormatFloat(v.Float(), 'g', -1, 32), 64)
			return x
		}
		return v.Float()
	case "string":
		return v.String()
	case "bool":
		return v.Bool()
	}
	raw := v.Bytes()
	if len(raw) == 0 {
		return json.RawMessage("null")
	}
	return json.RawMessage(slices.Clone(raw))
}

// describe lists the parameters with their defaults.
func (s *paramSet[P]) describe() []contract.Param {
	out := make([]contract.Param, 0, len(s.flags))
	for _, f := range s.flags {
		if err := f.Reset(); err != nil {
			panic(fmt.Sprintf("stage: default of parameter %s: %v", f.Name, err))
		}
		p := contract.Param{
			Name: f.Name, Type: typeOf(f), Unit: f.Tag.Get("unit"), Help: f.Help,
			Default: valueOf(f), Required: f.Required, Keyed: f.Tag.Get("keyed") != "false", Only: f.Tag.Get("only"),
			Min: bound(f, "min"), Max: bound(f, "max"),
		}
		if f.Enum != "" {
			for _, e := range strings.Split(f.Enum, ",") {
				p.Enum = append(p.Enum, strings.TrimSpace(e))
			}
		}
		out = append(out, p)
	}
	return out
}

// parse sets the parameters from --name=value arguments.
func (s *paramSet[P]) parse(args []string) error {
	kctx, err := s.parser.Parse(args)
	s.given = given(kctx)
	return err
}

// resolve applies Expand, Auto and Check and returns every parameter's value.
func resolve[P any](spec *Stage[P], s *paramSet[P]) (map[string]any, error) {
	p := &s.holder.P
	if spec.Expand != nil {
		set, values, err := spec.Expand(p)
		if err := s.expand(set, values, err); err != nil {
			return nil, err
		}
	}
	for name, auto := range spec.Auto {
		i := slices.IndexFunc(s.flags, func(f *kong.Flag) bool { return f.Name == name })
		if i < 0 || typeOf(s.flags[i]) != "string" {
			panic(fmt.Sprintf("stage: Auto names %q, which is no string parameter", name))
		}
		if s.flags[i].Target.String() == "auto" {
			s.flags[i].Target.SetString(auto(p))
		}
	}
	if err := s.idle(newParams[P]().describe()); err != nil {
		return nil, err
	}
	if spec.Resolve != nil {
		spec.Resolve(p)
	}
	values := make(map[string]any, len(s.flags))
	for _, f := range s.flags {
		v := valueOf(f)
		if x, ok := v.(float64); ok && (math.IsNaN(x) || math.IsInf(x, 0)) {
			return nil, failure.New(failure.Usage, "", "parameter %s is %v; it must be a finite number", f.Name, x)
		}
		values[f.Name] = v
	}
	if err := s.within(); err != nil {
		return nil, err
	}
	if spec.Check != nil {
		if err := spec.Check(p); err != nil {
			return nil, failure.Default(failure.Usage, "", err)
		}
	}
	return values, nil
}
