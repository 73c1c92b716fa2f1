package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"

	"vapo/lib/cachekey"
	"vapo/lib/enginename"
)

// EngineParam is the parameter that names the engine. A key contains the engine's class instead of this parameter.
const EngineParam = "backend"

// DecodeDescription reads what `describe` printed. It converts defaults and resolved values to the Go types that
// Param.Value returns.
func DecodeDescription(data []byte) (Description, error) {
	var d Description
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&d); err != nil {
		return d, fmt.Errorf("reading a stage's description: %w", err)
	}
	if d.Contract != Contract {
		return d, fmt.Errorf("stage %s has contract version %d, but this program has %d: build both from the same source",
			d.Stage, d.Contract, Contract)
	}
	for i := range d.Params {
		p := &d.Params[i]
		if p.Default == nil && p.Type != "json" {
			continue
		}
		v, err := p.Value(p.Default)
		if err != nil {
			return d, fmt.Errorf("stage %s: default: %w", d.Stage, err)
		}
		p.Default = v
	}
	for name, v := range d.Resolved {
		p, ok := d.Param(name)
		if !ok {
			return d, fmt.Errorf("stage %s resolved the parameter %q, which it does not declare", d.Stage, name)
		}
		value, err := p.Value(v)
		if err != nil {
			return d, fmt.Errorf("stage %s: resolved: %w", d.Stage, err)
		}
		d.Resolved[name] = value
	}
	return d, nil
}

// Param returns the parameter of that name.
func (d Description) Param(name string) (Param, bool) {
	i := slices.IndexFunc(d.Params, func(p Param) bool { return p.Name == name })
	if i < 0 {
		return Param{}, false
	}
	return d.Params[i], true
}

// Input returns the input port of that name.
func (d Description) Input(name string) (Port, bool) { return port(d.Inputs, name) }

// Output returns the output port of that name.
func (d Description) Output(name string) (Port, bool) { return port(d.Outputs, name) }

func port(ports []Port, name string) (Port, bool) {
	i := slices.IndexFunc(ports, func(p Port) bool { return p.Name == name })
	if i < 0 {
		return Port{}, false
	}
	return ports[i], true
}

// Value converts v, as a JSON or YAML decoder returned it, to the Go type from which keys are computed: int64 (uint64
// for larger values), float64, string, bool or json.RawMessage. An int parameter accepts any number without a fraction,
// such as 5.0. No other conversion between types is made.
func (p Param) Value(v any) (out any, err error) {
	ok := false
	switch p.Type {
	case "string":
		out, ok = v.(string)
		if ok && len(p.Enum) > 0 && !slices.Contains(p.Enum, out.(string)) {
			return nil, fmt.Errorf("parameter %s must be one of %v, not %q", p.Name, p.Enum, out)
		}
	case "bool":
		out, ok = v.(bool)
	case "int":
		x, isNumber := number(v)
		switch {
		case !isNumber || !x.IsInt():
		case x.Num().IsInt64():
			out, ok = x.Num().Int64(), true
		case x.Num().IsUint64():
			out, ok = x.Num().Uint64(), true
		}
	case "float":
		if x, isNumber := number(v); isNumber {
			f, _ := x.Float64()
			out, ok = f, !math.IsInf(f, 0)
		}
	case "json":
		raw, err := json.Marshal(v) // compacts a json.RawMessage
		out, ok = json.RawMessage(raw), err == nil
	default:
		return nil, fmt.Errorf("parameter %s is of unknown type %q", p.Name, p.Type)
	}
	if !ok {
		return nil, fmt.Errorf("parameter %s is of type %s; it cannot be %.60s", p.Name, p.Type, Show(v))
	}
	return out, nil
}

// number converts v to an exact rational. ok is false if v is not a finite number.
func number(v any) (x *big.Rat, ok bool) {
	switch v := v.(type) {
	case json.Number:
		if len(v) > 64 { // longer than any sensible number
			return nil, false
		}
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil || math.IsInf(f, 0) {
			return nil, false
		}
		if math.Abs(f) < 1e-30 || math.Abs(f) > 1e30 {
			return new(big.Rat).SetFloat64(f), true
		}
		if i, ok := new(big.Int).SetString(string(v), 10); ok {
			return new(big.Rat).SetInt(i), true
		}
		return new(big.Rat).SetFloat64(f), true
	case int:
		return new(big.Rat).SetInt64(int64(v)), true
	case int64:
		return new(big.Rat).SetInt64(v), true
	case uint64:
		return new(big.Rat).SetInt(new(big.Int).SetUint64(v)), true
	case float64:
		r := new(big.Rat).SetFloat64(v) // nil if v is not finite
		return r, r != nil
	}
	return nil, false
}

// Show formats the value of a parameter for a message.
func Show(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(raw)
}

// Flags formats parameters as --name=value arguments, sorted by name.
func Flags(params map[string]any) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(params)) {
		var text string
		switch v := params[name].(type) {
		case string:
			text = v
		case float64:
			text = strconv.FormatFloat(v, 'g', -1, 64)
		case json.RawMessage:
			var compact bytes.Buffer // because records are stored indented
			if err := json.Compact(&compact, v); err == nil {
				text = compact.String()
			} else {
				text = string(v)
			}
		default:
			text = fmt.Sprint(v)
		}
		out = append(out, "--"+name+"="+text)
	}
	return out
}

// Action returns the action that a run of this stage executes, with the resolved parameters and the digests of the
// inputs by name. The runner and the stage both compute it and must get the same result.
func (d Description) Action(resolved map[string]any, inputs map[string]string) cachekey.Action {
	a := cachekey.Action{
		Contract: d.Contract, Stage: d.Stage, Version: d.Version,
		Params: map[string]any{}, Inputs: inputs,
	}
	for _, p := range d.Params {
		v, ok := resolved[p.Name]
		switch {
		case !ok || !p.Keyed:
		case p.Name == EngineParam:
			a.Backend, _ = v.(string)
			if name, err := enginename.Parse(a.Backend); err == nil {
				a.Backend = name.Class() // the class omits the path of a plugin
			}
		default:
			a.Params[p.Name] = v
		}
	}
	return a
}

// Series returns the key of the series that a run belongs to, and the length of the run. The key is that of the action
// without the parameter that d.Length names, so runs that differ only in their length share it. ok is false if the
// stage has no such parameter.
func (d Description) Series(resolved map[string]any, inputs map[string]string) (key string, length int64, ok bool) {
	if d.Length == "" {
		return "", 0, false
	}
	length, ok = resolved[d.Length].(int64)
	if !ok {
		return "", 0, false
	}
	a := d.Action(resolved, inputs)
	delete(a.Params, d.Length)
	key, err := a.Key()
	return key, length, err == nil
}
