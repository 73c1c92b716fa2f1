package stage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/alecthomas/kong"

	"vapo/lib/contract"
	"vapo/lib/failure"
)

// given lists the flags of a command line by name, whatever their values.
func given(kctx *kong.Context) map[string]bool {
	names := map[string]bool{}
	if kctx == nil {
		return names
	}
	for _, p := range kctx.Path {
		if p.Flag != nil {
			names[p.Flag.Name] = true
		}
	}
	return names
}

// expand sets the parameters that a set of them stands for.
func (s *paramSet[P]) expand(set string, values map[string]string, err error) error {
	if err != nil {
		return failure.Default(failure.Usage, "", err)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		i := slices.IndexFunc(s.flags, func(f *kong.Flag) bool { return f.Name == name })
		if i < 0 {
			panic(fmt.Sprintf("stage: Expand names %q, which is no parameter", name))
		}
		f := s.flags[i]
		before := valueOf(f)
		if err := f.Parse(kong.ScanFromTokens(kong.Token{Type: kong.FlagValueToken, Value: values[name]}), f.Target); err != nil {
			panic(fmt.Sprintf("stage: Expand gives %s the value %q: %v", name, values[name], err))
		}
		if s.given[name] && !sameValue(before, valueOf(f)) {
			return failure.New(failure.Usage, "leave one of the two out", "parameter %s is %s, but %s has it at %s", name, contract.Show(before), set, values[name])
		}
	}
	return nil
}

// sameValue compares values of parameters; JSON by what it says.
func sameValue(a, b any) bool {
	x, ok := a.(json.RawMessage)
	if !ok {
		return a == b
	}
	var p, q bytes.Buffer
	if json.Compact(&p, x) != nil || json.Compact(&q, b.(json.RawMessage)) != nil {
		return false
	}
	return p.String() == q.String()
}
