package condition

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	got, err := Parse(" score.*.value <100 and data.source!='a b' and p.learning-rate >= -1e-3")
	want := []Comparison{
		{Step: "score", All: true, Name: "value", Op: "<", Const: int64(100), Text: "score.*.value <100", Offset: 1},
		{Step: "data", Name: "source", Op: "!=", Const: "a b", Text: "data.source!='a b'", Offset: 24},
		{Step: "p", Name: "learning-rate", Op: ">=", Const: -0.001, Text: "p.learning-rate >= -1e-3", Offset: 47},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for text, offset := range map[string]int{
		"": 0, "  ": 2, "score < 1": 0, "a.b": 3, "a.b = 1": 4, "a.b < ": 6, "a.b < x": 6, "a.b < 'x'": 9,
		"a.b < 1 or c.d < 2": 8, "a.b < 1 and": 11, "a.b < 1e999": 11, "a.b < 1 andc.d < 1": 8, "a.b == 'x": 7,
		"a.*.*.b < 1": 0,
	} {
		_, err := Parse(text)
		var e *Error
		if !errors.As(err, &e) || e.Offset != offset {
			t.Errorf("%q: %v at %+v, want an error at %d", text, err, e, offset)
		}
	}
}

func TestHolds(t *testing.T) {
	for _, test := range []struct {
		text  string
		value any
		want  bool
		fails bool
	}{
		{"a.b < 3", int64(2), true, false}, {"a.b < 3", 3.0, false, false}, {"a.b <= 3", 3.0, true, false},
		{"a.b > 3", uint64(4), true, false}, {"a.b >= 3", 2.9, false, false}, {"a.b == 3", int64(3), true, false},
		{"a.b != 3", int64(3), false, false}, {"a.b == 'x'", "x", true, false}, {"a.b != 'x'", "x", false, false},
		{"a.b == 'x'", int64(1), false, true}, {"a.b < 3", "x", false, true}, {"a.b == 1", true, false, true},
		{"a.b < 3", nil, false, true}, {"a.b != 3", math.NaN(), false, false}, {"a.b > 3", math.Inf(1), true, false},
		{"a.b == 0.1", 0.1, true, false}, {"a.b < 2.5", int64(2), true, false}, {"a.b == 1e3", int64(1000), true, false},
		{"a.b == 9007199254740993", int64(9007199254740992), false, false}, // 2^53, which a float64 cannot tell from 2^53+1
		{"a.b == 9007199254740993", int64(9007199254740993), true, false},
		{"a.b < 9007199254740993", int64(9007199254740992), true, false},
		{"a.b > -9007199254740993", int64(-9007199254740992), true, false},
		{"a.b == 18446744073709551615", uint64(math.MaxUint64), true, false},
		{"a.b != +18446744073709551615", uint64(math.MaxUint64 - 1), true, false},
		{"a.b < 18446744073709551616", uint64(math.MaxUint64), true, false},
	} {
		c, err := Parse(test.text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c[0].Holds(test.value); got != test.want || (err != nil) != test.fails {
			t.Errorf("%s for %v: %v, %v; want %v, an error: %v", test.text, test.value, got, err, test.want, test.fails)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"score.*.value < 100", "a.b=='x' and c.d != \"y\"", "a.b < 1e999", "and and"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := Parse(text)
		var e *Error
		if err != nil && (!errors.As(err, &e) || e.Offset < 0 || e.Offset > len(text)) {
			t.Fatalf("%q: want an error with an offset in the text, got %v", text, err)
		}
		for _, c := range list {
			again, err := Parse(c.Text)
			if err != nil || len(again) != 1 || again[0].Const != c.Const || again[0].Op != c.Op {
				t.Fatalf("%q is read again as %+v, %v; want %+v", c.Text, again, err, c)
			}
		}
	})
}
