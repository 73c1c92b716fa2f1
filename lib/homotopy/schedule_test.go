package homotopy

import (
	"errors"
	"fmt"
	"math"
	"testing"
)

func schedules(t *testing.T) map[string]Schedule {
	t.Helper()
	out := map[string]Schedule{}
	for _, name := range Names() {
		for _, w := range []float64{1, 0.5, 3} {
			s, err := Lookup(name, w)
			if err != nil {
				t.Fatal(err)
			}
			if s.Name() != name {
				t.Errorf("schedule %s calls itself %s", name, s.Name())
			}
			out[fmt.Sprintf("%s w=%g", name, w)] = s
		}
	}
	return out
}

func TestDerivatives(t *testing.T) {
	for name, s := range schedules(t) {
		for _, at := range []float64{1e-7, 1e-5, 1e-4, 1e-3, 0.1, 0.3, 0.5, 0.77, 0.99} {
			h := at * 1e-5
			up, down, p := s.At(at+h), s.At(at-h), s.At(at)
			for _, c := range []struct {
				what      string
				got, want float64
			}{{"mu'", p.DMu, (up.Mu - down.Mu) / (2 * h)}, {"sigma'", p.DSigma, (up.Sigma - down.Sigma) / (2 * h)}} {
				if math.Abs(c.got-c.want) > 1e-4*math.Abs(c.want) && math.Abs(c.got-c.want) > 1e-4 {
					t.Errorf("%s: %s(%g) = %v, central difference %v", name, c.what, at, c.got, c.want)
				}
			}
		}
	}
}

// H2: 1/sigma² = a/w² + b/n², mu = sigma²·b/n² with each schedule's a and b.
func TestMembersOfTheFamily(t *testing.T) {
	const n = vapoLikelihoodStd
	for _, w := range []float64{1, 0.5, 3} {
		for _, at := range []float64{1e-6, 1e-4, 0.01, 0.3, 0.9} {
			for name, ab := range map[string][2]float64{
				"vapo":   {1, at},
				"linear": {1 / (1 - at), n * n * at / (w * w * (1 - at) * (1 - at))},
			} {
				s, err := Lookup(name, w)
				if err != nil {
					t.Fatal(err)
				}
				variance := 1 / (ab[0]/(w*w) + ab[1]/(n*n))
				p := s.At(at)
				if mu := variance * ab[1] / (n * n); math.Abs(p.Mu-mu) > 1e-12 || math.Abs(p.Sigma-math.Sqrt(variance)) > 1e-12*p.Sigma {
					t.Errorf("%s, w = %g, t = %g: mu, sigma = %v, %v, want %v, %v", name, w, at, p.Mu, p.Sigma, mu, math.Sqrt(variance))
				}
			}
		}
	}
}

func TestEnds(t *testing.T) {
	for _, w := range []float64{1, 0.5, 3} {
		l, err := Lookup("linear", w)
		if err != nil {
			t.Fatal(err)
		}
		v, err := Lookup("vapo", w)
		if err != nil {
			t.Fatal(err)
		}
		for name, s := range map[string]Schedule{"linear": l, "vapo": v} {
			if p := s.At(0); p.Mu != 0 || math.Abs(p.Sigma-w) > 1e-12 {
				t.Errorf("%s: mu(0), sigma(0) = %v, %v, want 0 and the prior's %v", name, p.Mu, p.Sigma, w)
			}
			if p := s.At(1); math.Abs(p.Mu-1) > 1e-2 || p.Sigma > 0.011 || p.Sigma <= 0 {
				t.Errorf("%s: mu(1), sigma(1) = %v, %v, want nearly 1 and nearly 0", name, p.Mu, p.Sigma)
			}
		}
		// Half of the way is done already at t = n²/w².
		r := vapoLikelihoodStd * vapoLikelihoodStd / (w * w)
		if p := v.At(r); math.Abs(p.Mu-0.5) > 1e-12 {
			t.Errorf("vapo: mu(n²/w²) = %v, want 1/2", p.Mu)
		}
		if from, to := v.Span(); math.Abs(from-math.Log(1e-3*r)) > 1e-9 || to != 0 {
			t.Errorf("vapo: span %v to %v, want ln(n²/(1000 w²)) to 0", from, to)
		}
	}
}

func TestTrainingTimes(t *testing.T) {
	for name, s := range schedules(t) {
		from, to := s.Span()
		first, _ := s.Time(from)
		last, _ := s.Time(to)
		before := 0.0
		for k := range 1001 {
			u := float64(k) / 1000
			if k == 1000 {
				u = math.Nextafter(1, 0)
			}
			at := s.Draw(u)
			if !(at > before) || at > 1 || at < first*(1-1e-12) {
				t.Fatalf("%s: u = %v gives t = %v, after %v; sampling starts at %v", name, u, at, before, first)
			}
			before = at
			if c := s.Condition(at); !(c >= -1e-12 && c <= 1+1e-12) {
				t.Errorf("%s: the network is given %v at t = %v, expected a number in [0, 1]", name, c, at)
			}
			if w := s.Weight(at); !(w > 0 && w <= 1) {
				t.Errorf("%s: weight %v at t = %v", name, w, at)
			}
		}
		if before < last*(1-1e-4) {
			t.Errorf("%s: training ends at t = %v, sampling at %v", name, before, last)
		}
		// ds/dt is the derivative of Time.
		for k := 1; k < 20; k++ {
			s0 := from + (to-from)*float64(k)/20
			h := 1e-6
			up, _ := s.Time(s0 + h)
			down, _ := s.Time(s0 - h)
			if _, rate := s.Time(s0); math.Abs(rate-(up-down)/(2*h)) > 1e-6*rate {
				t.Errorf("%s: dt/ds = %v at s = %v, central difference %v", name, rate, s0, (up-down)/(2*h))
			}
		}
	}
}

// People ask for the field at t = 0 and t = 1 themselves.
func TestConditionIsFiniteAtTheEnds(t *testing.T) {
	for name, s := range schedules(t) {
		for _, at := range []float64{0, 1e-30, 1} {
			if c := s.Condition(at); !(c >= 0 && c <= 1) {
				t.Errorf("%s: the network is given %v at t = %v", name, c, at)
			}
		}
	}
}

func TestFill(t *testing.T) {
	for name, s := range schedules(t) {
		var columns [Columns][]float32
		for k := range columns {
			columns[k] = make([]float32, 3)
		}
		at := s.Draw(0.4)
		Fill(s, at, 1, &columns)
		p := s.At(at)
		for k, want := range []float64{s.Condition(at), p.Mu, p.Sigma, s.Rate(at) * p.DMu, s.Rate(at) * p.DSigma, s.Weight(at)} {
			if columns[k][1] != float32(want) || columns[k][0] != 0 || columns[k][2] != 0 {
				t.Errorf("%s: column %d is %v, want %v in its row", name, k, columns[k], want)
			}
		}
	}
}

func TestLookupRefuses(t *testing.T) {
	var unknown *UnknownError
	if _, err := Lookup("straight", 1); !errors.As(err, &unknown) || unknown.Name != "straight" {
		t.Errorf("unknown schedule: %v", err)
	}
	for _, w := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if _, err := Lookup("linear", w); err == nil {
			t.Errorf("a prior of standard deviation %v was accepted", w)
		}
	}
}

// On the linear path the energy's noise grows as 1/sigma, so its weight is sigma/w; nothing else is weighted.
func TestForObjective(t *testing.T) {
	for name, s := range schedules(t) {
		for _, objective := range Objectives() {
			for _, at := range []float64{1e-3, 0.3, 0.9, 1} {
				want := 1.0
				if s.Name() == "linear" && objective == "energy" {
					want = s.At(at).Sigma / s.At(0).Sigma
				}
				if got := ForObjective(s, objective).Weight(at); math.Abs(got-want) > 1e-15 {
					t.Errorf("%s, %s: weight %v at t = %v, want %v", name, objective, got, at, want)
				}
			}
		}
	}
}
