package homotopy

import (
	"math"
	"testing"

	"vapo/lib/failure"
)

func TestUntil(t *testing.T) {
	for name, s := range schedules(t) {
		from, to := s.Span()
		first, _ := s.Time(from)
		for _, end := range []float64{2e-3, 0.5, 0.999, 1, 1.5, 10, 1e4} {
			v, err := Until(s, end)
			if end > 1 && s.Name() != "vapo" {
				if failure.ClassOf(err) != failure.Usage {
					t.Errorf("%s until %v: error %v, want a usage error", name, end, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s until %v: %v", name, end, err)
				continue
			}
			a, b := v.Span()
			last, _ := v.Time(b)
			if a != from || end != 1 && math.Abs(last-end) > 1e-9*end || end == 1 && b != to {
				t.Errorf("%s until %v: s goes from %v to %v, where t = %v, want from %v to where t = %v",
					name, end, a, b, last, from, end)
			}
			before := 0.0
			for k := range 101 {
				u := min(float64(k)/100, math.Nextafter(1, 0))
				at := v.Draw(u)
				if !(at > before && at >= first*(1-1e-9) && at <= max(last, end)*(1+1e-9)) {
					t.Fatalf("%s until %v: u = %v gives t = %v, want more than the previous %v, and from %v to %v",
						name, end, u, at, before, first, last)
				}
				before = at
				if end != 1 && math.Abs(s.Variable(at)-(a+(b-a)*u)) > 1e-6 {
					t.Errorf("%s until %v: u = %v gives s = %v, want times evenly spaced in s", name, end, u, s.Variable(at))
				}
				if v.Condition(at) != s.Condition(at) || v.At(at) != s.At(at) || v.Rate(at) != s.Rate(at) ||
					v.Weight(at) != s.Weight(at) {
					t.Fatalf("%s until %v: condition, mu, sigma, rate or weight at t = %v has changed", name, end, at)
				}
			}
			if before < 0.99*last {
				t.Errorf("%s until %v: training ends at t = %v, want about %v", name, end, before, last)
			}
		}
		for _, end := range []float64{0, -1, first, math.NaN(), math.Inf(1), 1.1e4} {
			if _, err := Until(s, end); failure.ClassOf(err) != failure.Usage {
				t.Errorf("%s until %v: error %v, want a usage error", name, end, err)
			}
		}
		// ForObjective and Until can be applied in either order.
		a, err := Until(ForObjective(s, "energy"), 0.5)
		if err != nil {
			t.Fatal(err)
		}
		half, err := Until(s, 0.5)
		if err != nil {
			t.Fatal(err)
		}
		if b := ForObjective(half, "energy"); a.Weight(0.3) != b.Weight(0.3) || a.Draw(0.3) != b.Draw(0.3) {
			t.Errorf("%s: weight and drawn time are %v and %v if ForObjective is applied first, %v and %v if Until is",
				name, a.Weight(0.3), a.Draw(0.3), b.Weight(0.3), b.Draw(0.3))
		}
	}
}

// Beyond t = 1 the network's condition stays linear in ln t and of order one.
func TestConditionBeyondOne(t *testing.T) {
	for _, w := range []float64{1, 0.5, 3} {
		s, err := Lookup("vapo", w)
		if err != nil {
			t.Fatal(err)
		}
		slope := s.Condition(1) - s.Condition(math.Exp(-0.1))
		before := s.Condition(1)
		for k := 1; k <= 92; k++ { // to t = 1e4 in steps of 0.1 in ln t
			c := s.Condition(math.Exp(0.1 * float64(k)))
			if math.Abs(c-before-slope) > 1e-9 || c > 2.5 {
				t.Fatalf("w = %v: condition %v at t = e^%v, %v one step before; want steps of %v and at most 2.5",
					w, c, 0.1*float64(k), before, slope)
			}
			before = c
		}
	}
	s, err := Lookup("vapo", 1)
	if err != nil {
		t.Fatal(err)
	}
	if c := s.Condition(10); math.Abs(c-1.14) > 0.005 {
		t.Errorf("condition at t = 10 is %v, the comment on vapo.Condition says 1.14", c)
	}
}
