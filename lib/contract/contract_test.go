package contract

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var description = Description{
	Contract: Contract, Stage: "demo", Version: 7, Length: "steps",
	Params: []Param{
		{Name: "steps", Type: "int", Default: int64(3), Keyed: true},
		{Name: "horizon", Type: "int", Default: int64(0), Keyed: true},
		{Name: "every", Type: "int", Default: int64(50)},
		{Name: "backend", Type: "string", Default: "auto", Auto: "tape", Keyed: true, Enum: []string{"auto", "tape"}},
		{Name: "mixture", Type: "json", Default: json.RawMessage("null"), Keyed: true},
	},
	Inputs:  []Port{{Name: "data", Media: MediaArrow, Subject: true}},
	Outputs: []Port{{Name: "score", Media: MediaJSON, Score: true}},
}

func encoded(t testing.TB, d Description) []byte {
	t.Helper()
	data, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDecodeDescription(t *testing.T) {
	got, err := DecodeDescription(encoded(t, description))
	if diff := cmp.Diff(description, got); err != nil || diff != "" {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	for what, breakIt := range map[string]func(*Description){
		"another contract":     func(d *Description) { d.Contract++ },
		"a wrong default type": func(d *Description) { d.Params[0].Default = "x" },
		"undeclared":           func(d *Description) { d.Resolved = map[string]any{"other": 1} },
		"resolved to a string": func(d *Description) { d.Resolved = map[string]any{"steps": "x"} },
	} {
		d := description
		d.Params = slices.Clone(d.Params)
		breakIt(&d)
		if _, err := DecodeDescription(encoded(t, d)); err == nil {
			t.Errorf("%s: no error, want one", what)
		}
	}
}

// TestAction: an action contains the keyed parameters and the engine's class, which omits the path of a plugin. The key
// of a series depends on the same values except the length.
func TestAction(t *testing.T) {
	inputs := map[string]string{"data": "sha256:00"}
	resolved := map[string]any{"steps": int64(5), "horizon": int64(9), "every": int64(1),
		"mixture": json.RawMessage("null")}
	for backend, class := range map[string]string{
		"tape": "tape", "xla:/opt/jax/plugin.so": "xla-plugin", "xla:/opt/a.b/plugin.so,bf16": "xla-plugin-bfloat16",
		"xla:cuda": "xla-cuda", "another engine": "another engine",
	} {
		resolved["backend"] = backend
		a := description.Action(resolved, inputs)
		want := map[string]any{"steps": int64(5), "horizon": int64(9), "mixture": json.RawMessage("null")}
		if diff := cmp.Diff(want, a.Params); a.Backend != class || diff != "" {
			t.Errorf("%s: engine class %s, want %s; parameters (-want +got):\n%s", backend, a.Backend, class, diff)
		}
	}
	series := func(name string, v int64) string {
		other := maps.Clone(resolved)
		other[name] = v
		key, length, ok := description.Series(other, inputs)
		if !ok || length != other["steps"] {
			t.Errorf("%s %d: in a series: %v, length %d, want true and %v", name, v, ok, length, other["steps"])
		}
		return key
	}
	if series("steps", 5) != series("steps", 6) || series("horizon", 9) == series("horizon", 10) {
		t.Error("the series key depends on steps (the length), or not on horizon")
	}
	d := description
	d.Length = ""
	if _, _, ok := d.Series(resolved, inputs); ok {
		t.Error("a stage without a length has a series")
	}
}

func TestFlags(t *testing.T) {
	got := Flags(map[string]any{"rate": 1e-3, "mode": "a b", "steps": int64(5), "fast": true,
		"mixture": json.RawMessage("[ 1,\n 2 ]")})
	want := []string{"--fast=true", "--mixture=[1,2]", "--mode=a b", "--rate=0.001", "--steps=5"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParamValue(t *testing.T) {
	for _, test := range []struct {
		typ  string
		in   any
		want any // nil if an error is expected
	}{
		{"int", json.Number("3"), int64(3)}, {"int", json.Number("3.0"), int64(3)}, {"int", json.Number("1e3"), int64(1000)},
		{"int", 3.0, int64(3)}, {"int", 3.5, nil}, {"int", "3", nil}, {"int", true, nil}, {"int", nil, nil},
		{"int", uint64(1 << 63), uint64(1 << 63)}, {"int", json.Number("1e30"), nil},
		{"int", json.Number("1e999999999"), nil},
		{"float", int64(3), 3.0}, {"float", json.Number("0.1"), 0.1}, {"float", "x", nil},
		{"float", json.Number("1e400"), nil},
		{"string", "x", "x"}, {"string", 3, nil}, {"bool", true, true}, {"bool", "true", nil}, {"bool", 1, nil},
		{"json", []any{int64(1)}, json.RawMessage("[1]")}, {"json", json.RawMessage("[ 1 ]"), json.RawMessage("[1]")},
		{"odd", 1, nil},
	} {
		got, err := Param{Name: "p", Type: test.typ}.Value(test.in)
		if (err != nil) != (test.want == nil) {
			t.Errorf("%s %v: value %v, error %v, want %v (an error if nil)", test.typ, test.in, got, err, test.want)
		} else if diff := cmp.Diff(test.want, got); err == nil && diff != "" {
			t.Errorf("%s %v (-want +got):\n%s", test.typ, test.in, diff)
		}
	}
}

func FuzzDecodeDescription(f *testing.F) {
	f.Add(encoded(f, description))
	f.Add([]byte(`{"contract":1,"params":[{"name":"a","type":"int","default":1e-999999}],"resolved":{"a":1e300}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := DecodeDescription(data)
		if err != nil {
			return
		}
		Flags(d.Resolved)
		if _, err := json.Marshal(d); err != nil {
			t.Fatalf("a description that was read cannot be written: %v", err)
		}
	})
}
