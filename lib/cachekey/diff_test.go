package cachekey

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiff(t *testing.T) {
	a, b := train(), train()
	if d := Diff(a, b); len(d) != 0 {
		t.Errorf("equal actions differ: %v", d)
	}
	b.Version = 4
	b.Backend = "tape"
	b.Params = maps.Clone(a.Params)
	b.Params["lr"] = 0.002
	b.Params["steps"] = 1000.0
	b.Params["warmup"] = 10
	delete(b.Params, "ema")
	b.Params["mixture"] = map[string]any{"components": []any{
		map[string]any{"weight": 1, "mean": []any{0.0, 1.5}, "std": 0.2},
		map[string]any{"weight": 1, "mean": []any{1.0, 0.0}, "std": 0.15},
	}}
	b.Inputs = map[string]string{"data": "sha256:00"}
	var got []string
	for _, d := range Diff(a, b) {
		got = append(got, d.String())
	}
	want := []string{
		"version: 3 -> 4",
		`backend: "tape-openblas" -> "tape"`,
		"params.ema: true -> (absent)",
		"params.lr: 0.001 -> 0.002",
		"params.mixture.components[0].std: 0.15 -> 0.2",
		"params.steps: 1000 (int) -> 1000 (float)",
		"params.warmup: (absent) -> 10",
		"inputs.data: sha256:abababababababababababababababababababababababababababababababab -> sha256:00",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	nan := Action{Stage: "s", Params: map[string]any{"p": math.NaN()}}
	one := Action{Stage: "s", Params: map[string]any{"p": 1.0}}
	if d := Diff(nan, one); len(d) != 1 || !strings.Contains(d[0].Was, "NaN") {
		t.Errorf("the differences between a NaN and 1 are %v, want one that shows the NaN", d)
	}
}

// TestParseEmbedded checks that a preimage can be part of another JSON document, whatever characters its texts have.
func TestParseEmbedded(t *testing.T) {
	a := train()
	a.Params["text"] = "a<b && c>d \u2028 \\u003c"
	a.Params["list"] = json.RawMessage(`["a<b", {"&": ">"}]`)
	pre, err := a.Preimage()
	if err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(map[string]any{"action": json.RawMessage(pre)})
	if err != nil {
		t.Fatal(err)
	}
	var back struct{ Action json.RawMessage }
	if err := json.Unmarshal(document, &back); err != nil {
		t.Fatal(err)
	}
	if b, err := Parse(back.Action); err != nil || key(t, a) != key(t, b) {
		t.Errorf("the embedded preimage parses to another key, or with error %v:\n%s\nbefore:\n%s", err, back.Action, pre)
	}
}

func FuzzParse(f *testing.F) {
	pre, err := train().Preimage()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pre)
	for _, param := range []string{`{"json":[1,null]}`, `{"float":1e0}`} {
		f.Add([]byte(`{"format":"vapo.action/1","contract":1,"stage":"s","version":1,"backend":"",` +
			`"params":{"p":` + param + `},"inputs":{}}`))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := Parse(data)
		if err != nil {
			if !errors.Is(err, errAction) {
				t.Fatalf("error %v does not match errAction", err)
			}
			return
		}
		pre, err := a.Preimage()
		if err != nil {
			t.Fatal(err)
		}
		b, err := Parse(pre)
		if err != nil {
			t.Fatal(err)
		}
		if key(t, a) != key(t, b) {
			t.Fatalf("an action has two keys, before and after a round trip through %s", pre)
		}
	})
}

// FuzzJSON: two JSON texts have the same key if and only if they denote the same value.
func FuzzJSON(f *testing.F) {
	f.Add(`[1,2]`, `[12]`)
	f.Add(`{"a":1}`, `{"a":1.0}`)
	f.Add(`["a","b"]`, `["a\",\"b"]`)
	f.Add(`9007199254740993`, `9007199254740992`)
	f.Fuzz(func(t *testing.T, x, y string) {
		act := func(s string) Action {
			return Action{Stage: "s", Params: map[string]any{"p": json.RawMessage(s)}}
		}
		kx, errX := act(x).Key()
		ky, errY := act(y).Key()
		if errX != nil || errY != nil {
			return
		}
		var vx, vy any
		if json.Unmarshal([]byte(x), &vx) != nil || json.Unmarshal([]byte(y), &vy) != nil {
			t.Fatalf("%q or %q has a key but is not JSON", x, y)
		}
		if kx == ky && !cmp.Equal(vx, vy) {
			t.Fatalf("%q and %q share a key", x, y)
		}
		// Texts with digits are skipped: keys distinguish integers above 2^53, which float64 cannot.
		if kx != ky && cmp.Equal(vx, vy) && !strings.ContainsAny(x+y, "0123456789") {
			t.Fatalf("%q and %q denote one value but have two keys", x, y)
		}
	})
}

func ExampleDiff() {
	was := Action{Contract: 1, Stage: "train", Version: 1, Params: map[string]any{"lr": 0.001, "steps": 1000}}
	is := Action{Contract: 1, Stage: "train", Version: 2, Params: map[string]any{"lr": 0.002, "steps": 1000}}
	for _, d := range Diff(was, is) {
		fmt.Println(d)
	}
	// Output:
	// version: 1 -> 2
	// params.lr: 0.001 -> 0.002
}
