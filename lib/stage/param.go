package stage

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"vapo/lib/contract"
	"vapo/lib/failure"
)

// param is one parameter: kong's flag plus the tags that this package adds.
type param struct {
	*kong.Flag
	kind     string // the data type, as in contract.Param
	min, max any    // of the parameter's type; nil if there is no bound
	when     string // the text of the tag "only"
	only     *only  // the same, parsed; nil if the parameter always has an effect
}

func newParam(f *kong.Flag, vars kong.Vars) param {
	only := os.Expand(f.Tag.Get("only"), func(name string) string { return vars[name] })
	p := param{Flag: f, kind: kindOf(f.Target.Type()), when: only}
	if p.kind == "" {
		panic(fmt.Sprintf("stage: parameter %s has type %s; use an int, float, string or bool kind or json.RawMessage",
			f.Name, f.Target.Type()))
	}
	if len(f.Tag.Envs) > 0 {
		panic(fmt.Sprintf("stage: parameter %s reads the environment; a run must be reproducible from its parameters",
			f.Name))
	}
	if effect := f.Tag.Get("effect"); effect != "" && effect != contract.NoEffect {
		panic(fmt.Sprintf("stage: parameter %s has effect:%q, expected %q", f.Name, effect, contract.NoEffect))
	}
	p.min, p.max = p.bound("min"), p.bound("max")
	return p
}

func kindOf(t reflect.Type) string {
	if t == reflect.TypeFor[json.RawMessage]() {
		return "json"
	}
	if t.PkgPath() == "time" { // as an int, a duration would lose its unit
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

// value returns the current value as int64 (uint64 for larger values), float64, string, bool or json.RawMessage.
func (p param) value() any {
	v := p.Target
	switch p.kind {
	case "int":
		if !v.CanUint() {
			return v.Int()
		}
		if v.Uint() > math.MaxInt64 {
			return v.Uint()
		}
		return int64(v.Uint())
	case "float":
		if v.Kind() == reflect.Float32 {
			// This uses the shortest decimal that denotes the same float32, so that 0.1 stays 0.1.
			x, _ := strconv.ParseFloat(strconv.FormatFloat(v.Float(), 'g', -1, 32), 64)
			return x
		}
		return v.Float()
	case "string":
		return v.String()
	case "bool":
		return v.Bool()
	}
	if len(v.Bytes()) == 0 {
		return json.RawMessage("null")
	}
	return json.RawMessage(slices.Clone(v.Bytes()))
}

// describe describes the parameter. Its current value must be the default.
func (p param) describe() contract.Param {
	d := contract.Param{
		Name: p.Name, Type: p.kind, Unit: p.Tag.Get("unit"), Help: p.Help, Default: p.value(), Required: p.Required,
		Keyed: p.Tag.Get("keyed") != "false", Effect: p.Tag.Get("effect"), Only: p.when, Min: p.min, Max: p.max,
		Path: p.Tag.Has("path"),
	}
	if p.Enum != "" {
		for e := range strings.SplitSeq(p.Enum, ",") {
			d.Enum = append(d.Enum, strings.TrimSpace(e))
		}
	}
	return d
}

// bound parses the tag min:"…" or max:"…". It returns nil if the tag is missing.
func (p param) bound(tag string) any {
	text := p.Tag.Get(tag)
	if text == "" {
		return nil
	}
	var v any
	var err error
	switch p.kind {
	case "int":
		v, err = strconv.ParseInt(text, 10, 64)
	case "float":
		v, err = strconv.ParseFloat(text, 64)
	default:
		err = fmt.Errorf("a %s has no bounds", p.kind)
	}
	if err != nil {
		panic(fmt.Sprintf("stage: parameter %s has %s:%q: %v", p.Name, tag, text, err))
	}
	return v
}

// within checks v, a value of the parameter. A number must be finite and within the bounds.
func (p param) within(v any) error {
	if x, ok := v.(float64); ok && (math.IsNaN(x) || math.IsInf(x, 0)) {
		return failure.New(failure.Usage, "", "parameter %s is %v; it must be a finite number", p.Name, x)
	}
	if p.min != nil && compare(v, p.min) < 0 {
		return failure.New(failure.Usage, "", "parameter %s is %v, expected %v or more", p.Name, v, p.min)
	}
	if p.max != nil && compare(v, p.max) > 0 {
		return failure.New(failure.Usage, "", "parameter %s is %v, expected at most %v", p.Name, v, p.max)
	}
	return nil
}

// compare compares a parameter's value with a bound of the same type.
func compare(v, bound any) int {
	switch v := v.(type) {
	case float64:
		return cmp.Compare(v, bound.(float64))
	case int64:
		return cmp.Compare(v, bound.(int64))
	}
	return 1 // v is a uint64 above the range of int64
}

// only is the tag only:"parameter=value|value". The tagged parameter has an effect only while the other parameter has
// one of the values; otherwise it must keep its default. Without this rule, two identical runs could have different
// keys, and a user could set a parameter and expect an effect that it does not have.
type only struct {
	on     param
	values []string
}

// condition parses the tag "only" of f. It returns nil if f has no such tag. all holds the parameters of the stage.
func condition(f param, all []param) *only {
	text := f.when
	if text == "" {
		return nil
	}
	name, values, ok := strings.Cut(text, "=")
	i := slices.IndexFunc(all, func(p param) bool { return p.Name == name })
	if !ok || i < 0 {
		panic(fmt.Sprintf("stage: parameter %s has only:%q, expected PARAMETER=VALUE|VALUE of another parameter",
			f.Name, text))
	}
	c := &only{all[i], strings.Split(values, "|")}
	for _, v := range c.values {
		if c.on.Enum != "" && !slices.Contains(c.on.EnumSlice(), v) {
			panic(fmt.Sprintf("stage: parameter %s has only:%q, but %s is never %s", f.Name, text, name, v))
		}
	}
	return c
}

// idle returns an error if the parameter has no effect but is set to a value other than its default.
func (p param) idle(set, byDefault any) error {
	if p.only == nil || sameValue(set, byDefault) {
		return nil
	}
	on := p.only.on
	is := fmt.Sprint(on.value())
	if slices.Contains(p.only.values, is) {
		return nil
	}
	return failure.New(failure.Usage,
		fmt.Sprintf("leave it out (to remove it from a recipe: --set STEP.%s=null), or set %s to %s", p.Name, on.Name,
			strings.Join(p.only.values, " or ")),
		"parameter %s is %s, but it has no effect while %s is %s", p.Name, contract.Show(set), on.Name, is)
}
