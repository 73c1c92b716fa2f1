package cachekey

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func train() Action {
	return Action{
		Contract: 1, Stage: "train", Version: 3, Backend: "tape-openblas",
		Params: map[string]any{
			"steps": int64(1000), "lr": 0.001, "objective": "matching", "ema": true,
			"mixture": map[string]any{"components": []any{
				map[string]any{"weight": 1, "mean": []any{0.0, 1.5}, "std": 0.15},
				map[string]any{"weight": 1, "mean": []any{1.0, 0.0}, "std": 0.15},
			}},
			"seed": uint64(math.MaxUint64),
		},
		Inputs: map[string]string{"data": "sha256:" + strings.Repeat("ab", 32)},
	}
}

func key(t testing.TB, a Action) string {
	t.Helper()
	k, err := a.Key()
	if err != nil {
		t.Fatal(err)
	}
	if !ValidKey(k) {
		t.Fatalf("%q does not have the form of a key", k)
	}
	return k
}

// TestGoldenKeys pins keys. If it fails, the code no longer finds the cached results in existing stores: undo the
// change, or change the format on purpose.
func TestGoldenKeys(t *testing.T) {
	for _, c := range []struct {
		name string
		a    Action
		want string
	}{
		{"smallest", Action{Contract: 1, Stage: "prep", Version: 1},
			"b28789557fc0ba3e974375baf5e2f07c5f9ff8f7c056db311e77195433a23962"},
		{"train", train(), "ff7a77978f24d3240b76c149a16c9b311070fdc1a0ead60d49f8f5510b86d7e4"},
		{"strings", Action{Contract: 1, Stage: "prep", Version: 1, Params: map[string]any{"a": "é\u2028\"\\\x00<", "": ""}},
			"d20ca0e28db3d98a9046fc7570fbac719f96f271303bd889fcec9cfae2eb64f8"},
	} {
		if got := key(t, c.a); got != c.want {
			t.Errorf("%s: key is %s, want the earlier one, %s", c.name, got, c.want)
		}
	}
}

func TestGoldenPreimage(t *testing.T) {
	got, err := train().Preimage()
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "format": "vapo.action/1",
  "contract": 1,
  "stage": "train",
  "version": 3,
  "backend": "tape-openblas",
  "params": {
    "ema": {"bool": true},
    "lr": {"float": 0.001},
    "mixture": {"json": {"components": [{"mean": [0, 1.5], "std": 0.15, "weight": 1}, ` +
		`{"mean": [1, 0], "std": 0.15, "weight": 1}]}},
    "objective": {"string": "matching"},
    "seed": {"int": 18446744073709551615},
    "steps": {"int": 1000}
  },
  "inputs": {
    "data": "sha256:abababababababababababababababababababababababababababababababab"
  }
}
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

// TestTypesAreKeyed: values of different types have different keys, even if their text is the same. The Go type of an
// integer or float and the spelling of JSON do not change the key.
func TestTypesAreKeyed(t *testing.T) {
	values := []any{
		1, 1.0, "1", true, "true", 0, false, "", math.Copysign(0, -1), 0.0, "0",
		json.RawMessage(`1`), json.RawMessage(`"1"`), json.RawMessage(`null`), json.RawMessage(`[]`), json.RawMessage(`{}`),
		json.RawMessage(`[1]`), json.RawMessage(`[[1]]`), json.RawMessage(`["1"]`), json.RawMessage(`[1,1]`),
		json.RawMessage(`true`),
		json.RawMessage(`{"a":1}`), json.RawMessage(`{"a":{}}`), json.RawMessage(`{"a":[]}`), json.RawMessage(`[{"a":1}]`),
		json.RawMessage(`9007199254740993`), json.RawMessage(`9007199254740992`), json.RawMessage(`1e300`),
	}
	seen := map[string]any{}
	for _, v := range values {
		k := key(t, Action{Contract: 1, Stage: "s", Version: 1, Params: map[string]any{"p": v}})
		if other, dup := seen[k]; dup {
			t.Errorf("%T %v and %T %v have the same key", other, other, v, v)
		}
		seen[k] = v
	}
	same := [][]any{
		{1, int8(1), uint64(1)},
		{0.5, float32(0.5)},
		{json.RawMessage(`[1, 2.50, "a"]`), []any{1.0, 2.5, "a"}, json.RawMessage("[1e0,\n25e-1,\"\\u0061\"]")},
		{json.RawMessage(`{"b":1,"a":2}`), map[string]any{"a": 2.0, "b": uint8(1)}},
	}
	for _, group := range same {
		for _, v := range group[1:] {
			a := Action{Contract: 1, Stage: "s", Version: 1, Params: map[string]any{"p": group[0]}}
			b := Action{Contract: 1, Stage: "s", Version: 1, Params: map[string]any{"p": v}}
			if key(t, a) != key(t, b) {
				t.Errorf("%T %v and %T %v have different keys, want the same", group[0], group[0], v, v)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	deep := json.RawMessage(strings.Repeat("[", 1000) + strings.Repeat("]", 1000))
	for name, a := range map[string]Action{
		"no stage":        {Contract: 1, Version: 1},
		"nan":             {Stage: "s", Params: map[string]any{"p": math.NaN()}},
		"infinity":        {Stage: "s", Params: map[string]any{"p": json.RawMessage(`1e999`)}},
		"nil":             {Stage: "s", Params: map[string]any{"p": nil}},
		"chan":            {Stage: "s", Params: map[string]any{"p": make(chan int)}},
		"unresolved":      {Stage: "s", Params: map[string]any{"p": json.Number("1")}},
		"utf-8":           {Stage: "s", Params: map[string]any{"p": "\xff"}},
		"utf-8 in json":   {Stage: "s", Params: map[string]any{"p": json.RawMessage("\"\xff\"")}},
		"two names":       {Stage: "s", Params: map[string]any{"p": json.RawMessage(`{"a":1,"a":2}`)}},
		"two deep names":  {Stage: "s", Params: map[string]any{"p": json.RawMessage(`[{"b":{"a":1,"c":["a"],"a":2}}]`)}},
		"broken json":     {Stage: "s", Params: map[string]any{"p": json.RawMessage(`{`)}},
		"trailing json":   {Stage: "s", Params: map[string]any{"p": json.RawMessage(`1 2`)}},
		"too deep":        {Stage: "s", Params: map[string]any{"p": deep}},
		"empty digest":    {Stage: "s", Inputs: map[string]string{"data": ""}},
		"name not utf-8":  {Stage: "s", Inputs: map[string]string{"\xff": "sha256:00"}},
		"stage not utf-8": {Stage: "\xff"},
	} {
		if k, err := a.Key(); !errors.Is(err, errAction) {
			t.Errorf("%s: key %q, error %v, want errAction", name, k, err)
		}
	}
}

// TestFieldsDoNotRunTogether moves characters across each boundary between fields. An encoding that only concatenates
// the fields would not notice.
func TestFieldsDoNotRunTogether(t *testing.T) {
	base := Action{Contract: 1, Stage: "ab", Version: 1, Backend: "cd"}
	variants := []Action{
		base,
		{Contract: 1, Stage: "a", Version: 1, Backend: "bcd"},
		{Contract: 1, Stage: "abc", Version: 1, Backend: "d"},
		{Contract: 11, Stage: "ab", Version: 1, Backend: "cd"},
		{Contract: 1, Stage: "ab", Version: 11, Backend: "cd"},
		{Contract: 1, Stage: "ab", Version: 1, Backend: "cd", Params: map[string]any{"x": "y"}},
		{Contract: 1, Stage: "ab", Version: 1, Backend: "cd", Inputs: map[string]string{"x": "y"}},
		{Contract: 1, Stage: "ab", Version: 1, Backend: "cd", Params: map[string]any{"xy": ""}},
		{Contract: 1, Stage: "ab", Version: 1, Backend: "cd", Params: map[string]any{"x": "y", "z": ""}},
		{Contract: 1, Stage: "ab", Version: 1, Backend: "cd",
			Params: map[string]any{"x": ""}, Inputs: map[string]string{"z": "y"}},
	}
	seen := map[string]int{}
	for i, a := range variants {
		if j, dup := seen[key(t, a)]; dup {
			t.Errorf("variants %d and %d have the same key", j, i)
		}
		seen[key(t, a)] = i
	}
}

// TestRandomActions: for random actions the keys are equal exactly when the preimages are, map order does not matter,
// and a preimage parses back to its action.
func TestRandomActions(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	byKey, byPreimage := map[string]string{}, map[string]string{}
	for range 3000 {
		a := randomAction(r)
		k := key(t, a)
		pre, err := a.Preimage()
		if err != nil {
			t.Fatal(err)
		}
		if was, ok := byKey[k]; ok && was != string(pre) {
			t.Fatalf("one key, two preimages:\n%s\n%s", was, pre)
		}
		if was, ok := byPreimage[string(pre)]; ok && was != k {
			t.Fatalf("one preimage, two keys:\n%s", pre)
		}
		byKey[k], byPreimage[string(pre)] = string(pre), k

		if k2 := key(t, reorder(r, a)); k2 != k {
			t.Fatalf("the key depends on map order:\n%s", pre)
		}
		back, err := Parse(pre)
		if err != nil {
			t.Fatalf("%v:\n%s", err, pre)
		}
		if k2 := key(t, back); k2 != k {
			t.Fatalf("a preimage parses back to another key:\n%s", pre)
		}
		b := randomAction(r)
		if diff := Diff(a, b); (len(diff) == 0) != (key(t, b) == k) {
			t.Fatalf("Diff returns %v, keys equal: %v, want no differences only for equal keys", diff, key(t, b) == k)
		}
		if diff := Diff(a, back); len(diff) != 0 {
			t.Fatalf("an action differs from its own preimage: %v", diff)
		}
	}
	if len(byKey) < 2000 {
		t.Fatalf("%d different actions were drawn, want at least 2000", len(byKey))
	}
}

func randomAction(r *rand.Rand) Action {
	a := Action{
		Contract: 1 + r.IntN(2), Stage: pick(r, "prep", "train"), Version: r.IntN(3), Backend: pick(r, "", "tape-go"),
		Params: map[string]any{}, Inputs: map[string]string{},
	}
	for range r.IntN(4) {
		a.Params[pick(r, "a", "b", "ab", "é", "")] = randomValue(r)
	}
	for range r.IntN(3) {
		a.Inputs[pick(r, "a", "b", "ab")] = pick(r, "sha256:00", "sha256:01", "s")
	}
	return a
}

func randomValue(r *rand.Rand) any {
	switch r.IntN(6) {
	case 0:
		return r.Int64N(5) - 2
	case 1:
		return float64(r.IntN(5)-2) / 2
	case 2:
		return pick(r, "", "1", "a", "\x00", "\u2028", `"}`)
	case 3:
		return r.IntN(2) == 0
	case 4:
		return r.Uint64()
	}
	b, err := json.Marshal(randomJSON(r, 3))
	if err != nil {
		panic(err)
	}
	return json.RawMessage(b)
}

func randomJSON(r *rand.Rand, depth int) any {
	switch n := r.IntN(7); {
	case n == 0 && depth > 0:
		list := make([]any, r.IntN(3))
		for i := range list {
			list[i] = randomJSON(r, depth-1)
		}
		return list
	case n == 1 && depth > 0:
		m := map[string]any{}
		for range r.IntN(3) {
			m[pick(r, "a", "b", "")] = randomJSON(r, depth-1)
		}
		return m
	case n == 2:
		return nil
	case n == 3:
		return r.IntN(2) == 0
	case n == 4:
		return r.NormFloat64()
	case n == 5:
		return r.IntN(3)
	}
	return pick(r, "", "0", "a")
}

func reorder(r *rand.Rand, a Action) Action {
	names := slices.Collect(maps.Keys(a.Params))
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	params := map[string]any{}
	for _, n := range names {
		params[n] = a.Params[n]
	}
	a.Params = params
	return a
}

func pick(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }
