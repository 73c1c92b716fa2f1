package stage

import (
	"strings"
	"testing"

	"vapo/lib/failure"
)

type boundedParams struct {
	Steps int     `help:"Steps." default:"3" min:"1"`
	Share float64 `help:"Share." default:"0.5" min:"0" max:"1"`
	Seed  uint64  `help:"Seed." default:"0" max:"9"`
}

func TestBounds(t *testing.T) {
	noStore(t)
	spec := echo[boundedParams]()
	for _, c := range []struct{ arg, says string }{
		{"--steps=1", ""},
		{"--share=0", ""},
		{"--share=1", ""},
		{"--seed=9", ""},
		{"--steps=0", "parameter steps is 0, expected 1 or more"},
		{"--steps=-7", "parameter steps is -7, expected 1 or more"},
		{"--share=-1e-9", "parameter share is -1e-09, expected 0 or more"},
		{"--share=1.5", "parameter share is 1.5, expected at most 1"},
		{"--share=NaN", "must be a finite number"},
		{"--seed=18446744073709551615", "parameter seed is 18446744073709551615, expected at most 9"},
	} {
		code, says := echoes(t, spec, c.arg)
		if c.says == "" && code != 0 || c.says != "" && (code != failure.Usage || !strings.Contains(says, c.says)) {
			t.Errorf("%s: exit %d, want a word about %q:\n%s", c.arg, code, c.says, says)
		}
	}
	if p, ok := describe(&spec).Param("share"); !ok || p.Min != 0.0 || p.Max != 1.0 {
		t.Errorf("share is described as %+v", p)
	}
	defer func() {
		if recover() == nil {
			t.Error("a bound of what is no number is taken")
		}
	}()
	newParams[struct {
		Name string `help:"Name." default:"x" min:"1"`
	}]()
}
