package homotopy

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"vapo/lib/failure"
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
		for _, at := range []float64{1e-7, 1e-5, 1e-4, 1e-3, 0.1, 0.3, 0.5, 0.77, 0.99, 0.9999} {
			h := max(1e-9, 1e-5*min(at, 1-at))
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

// Every schedule is a member of H2: 1/sigma² = a/w² + b/n², mu = sigma²·b/n². The test solves these equations for a and
// b at several times. b, the exponent of the likelihood, must grow with t.
func TestMembersOfTheFamily(t *testing.T) {
	const n = vapoLikelihoodStd
	for _, w := range []float64{1, 0.5, 3} {
		before := map[string]float64{}
		for _, at := range []float64{1e-6, 1e-4, 0.01, 0.3, 0.9} {
			sin, cos := math.Sincos(math.Pi / 2 * at)
			alpha := math.Exp(-0.05*(1-at) - 19.9*(1-at)*(1-at)/4)
			for name, ab := range map[string][2]float64{
				"vapo":   {1, at},
				"linear": {1 / (1 - at), n * n * at / (w * w * (1 - at) * (1 - at))},
				"cosine": {1 / (1 + sin), n * n * sin / (w * w * cos * cos)},
				"vp":     {1 / (1 + alpha), n * n * alpha / (w * w * (1 - alpha*alpha))},
			} {
				s, err := Lookup(name, w)
				if err != nil {
					t.Fatal(err)
				}
				variance := 1 / (ab[0]/(w*w) + ab[1]/(n*n))
				p := s.At(at)
				if mu := variance * ab[1] / (n * n); math.Abs(p.Mu-mu) > 1e-12 ||
					math.Abs(p.Sigma-math.Sqrt(variance)) > 1e-12*p.Sigma {
					t.Errorf("%s, w = %g, t = %g: mu, sigma = %v, %v, want %v, %v", name, w, at, p.Mu, p.Sigma, mu,
						math.Sqrt(variance))
				}
				b := n * n * p.Mu / (p.Sigma * p.Sigma)
				a := w * w * (1/(p.Sigma*p.Sigma) - b/(n*n))
				if math.Abs(a-ab[0]) > 1e-9*ab[0] || math.Abs(b-ab[1]) > 1e-9*ab[1] || !(a > 0 && b > before[name]) {
					t.Errorf("%s, w = %g, t = %g: mu and sigma are those of a, b = %v, %v, want %v, both above 0 and b rising",
						name, w, at, a, b, ab)
				}
				before[name] = b
			}
		}
		if len(before) != len(Names()) {
			t.Errorf("the test has exponents for %d schedules, but there are %v", len(before), Names())
		}
	}
}

func TestEnds(t *testing.T) {
	for _, w := range []float64{1, 0.5, 3} {
		for _, name := range Names() {
			s, err := Lookup(name, w)
			if err != nil {
				t.Fatal(err)
			}
			mu := 0.0
			if name == "vp" {
				mu = math.Exp(-0.25*19.9 - 0.5*0.1) // the share of the data that is left at the end of the diffusion
			}
			if p := s.At(0); math.Abs(p.Mu-mu) > 1e-12 || math.Abs(p.Sigma-w*math.Sqrt(1-mu*mu)) > 1e-12 {
				t.Errorf("%s: mu(0), sigma(0) = %v, %v, want %v, %v", name, p.Mu, p.Sigma, mu, w*math.Sqrt(1-mu*mu))
			}
			if p := s.At(1); math.Abs(p.Mu-1) > 1e-2 || p.Sigma > 0.011 || p.Sigma <= 0 {
				t.Errorf("%s: mu(1), sigma(1) = %v, %v, want nearly 1 and nearly 0", name, p.Mu, p.Sigma)
			}
			if got := priorStd(s); math.Abs(got-w) > 1e-12 {
				t.Errorf("%s: the path gives the prior a standard deviation of %v, want %v", name, got, w)
			}
		}
		v, err := Lookup("vapo", w)
		if err != nil {
			t.Fatal(err)
		}
		// On vapo, mu reaches 1/2 at t = n²/w².
		r := vapoLikelihoodStd * vapoLikelihoodStd / (w * w)
		if p := v.At(r); math.Abs(p.Mu-0.5) > 1e-12 {
			t.Errorf("vapo: mu(n²/w²) = %v, want 1/2", p.Mu)
		}
		if from, to := v.Span(); math.Abs(from-math.Log(1e-3*r)) > 1e-9 || to != 0 {
			t.Errorf("vapo: span %v to %v, want ln(n²/(1000 w²)) to 0", from, to)
		}
	}
}

// The comment on vp bounds the divergence of the path's first density from the prior. By convexity, the divergence is
// at most the mean, over the data x̄, of the divergence of N(mu·x̄, sigma² I) from N(0, w² I).
func TestDivergenceFromThePrior(t *testing.T) {
	const d, square = 3072, 3072.0 // pixels at -1 and 1
	s, err := Lookup("vp", 1)
	if err != nil {
		t.Fatal(err)
	}
	p := s.At(0)
	spread := 0.5 * (p.Sigma*p.Sigma - 1 - 2*math.Log(p.Sigma))
	if nats := p.Mu*p.Mu*square/2 + d*spread; !(nats > 0.06 && nats < 0.07) || !(spread < 5e-10) {
		t.Errorf("the path begins %v nats from the prior, with %v per dimension from sigma, "+
			"expected 0.06 to 0.07 and below 5e-10", nats, spread)
	}
}

// The velocity per unit of the integration variable, which the network learns, is of order one for x̄ and w·eps of size
// one. Only on vapo may it be much smaller.
func TestVelocitiesAreOfOrderOne(t *testing.T) {
	for name, s := range schedules(t) {
		w := priorStd(s)
		from, to := s.Span()
		var largest, smallest float64
		for k := range 1001 {
			at, rate := s.Time(from + (to-from)*float64(k)/1000)
			p := s.At(at)
			v := rate * math.Hypot(p.DMu, p.DSigma/w)
			largest = max(largest, v)
			if k == 0 || v < smallest {
				smallest = v
			}
		}
		t.Logf("%s: velocity %.3g to %.3g", name, smallest, largest)
		if largest > 2.7 || s.Name() != "vapo" && smallest < 0.13 {
			t.Errorf("%s: velocities per unit of s lie between %v and %v, want 0.13 (not vapo) to 2.7",
				name, smallest, largest)
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
				t.Fatalf("%s: u = %v gives t = %v, want more than the previous %v, at least %v, and at most 1",
					name, u, at, before, first)
			}
			before = at
			if c := s.Condition(at); !(c >= -1e-12 && c <= 1+1e-12) {
				t.Errorf("%s: the condition is %v at t = %v, want a number in [0, 1]", name, c, at)
			}
			if w := s.Weight(at); !(w > 0 && w <= 1) {
				t.Errorf("%s: weight %v at t = %v, want one in (0, 1]", name, w, at)
			}
		}
		if before < last*(1-1e-4) {
			t.Errorf("%s: training ends at t = %v, want about %v as for sampling", name, before, last)
		}
		// The rate dt/ds is the derivative of Time.
		for k := 1; k < 20; k++ {
			s0 := from + (to-from)*float64(k)/20
			h := 1e-6
			up, _ := s.Time(s0 + h)
			down, _ := s.Time(s0 - h)
			at, rate := s.Time(s0)
			if back := s.Variable(at); math.Abs(back-s0) > 1e-9 {
				t.Errorf("%s: s = %v gives t = %v, which gives back s = %v", name, s0, at, back)
			}
			if got := s.Rate(at); math.Abs(got-rate) > 1e-9*rate {
				t.Errorf("%s: dt/ds at t = %v is %v by Rate, %v by Time", name, at, got, rate)
			}
			if math.Abs(rate-(up-down)/(2*h)) > 1e-6*rate {
				t.Errorf("%s: dt/ds = %v at s = %v, central difference %v", name, rate, s0, (up-down)/(2*h))
			}
		}
	}
}

// Users evaluate the field at exactly t = 0 and t = 1, so Condition must be in [0, 1] there.
func TestConditionIsFiniteAtTheEnds(t *testing.T) {
	for name, s := range schedules(t) {
		for _, at := range []float64{0, 1e-30, 1} {
			if c := s.Condition(at); !(c >= 0 && c <= 1) {
				t.Errorf("%s: the condition is %v at t = %v, want a number in [0, 1]", name, c, at)
			}
		}
	}
}

func TestCoefficients(t *testing.T) {
	for name, s := range schedules(t) {
		c := NewCoefficients(3)
		at := s.Draw(0.4)
		c.Set(1, s, at)
		p, rate := s.At(at), s.Rate(at)
		got := [][]float32{c.Condition, c.Mu, c.Sigma, c.DMu, c.DSigma, c.Weight}
		for k, want := range []float64{s.Condition(at), p.Mu, p.Sigma, rate * p.DMu, rate * p.DSigma, s.Weight(at)} {
			if !slices.Equal(got[k], []float32{0, float32(want), 0}) {
				t.Errorf("%s: coefficient %d is %v, want %v for sample 1 and 0 for the others", name, k, got[k], want)
			}
		}
	}
}

func TestLookupRefuses(t *testing.T) {
	if _, err := Lookup("straight", 1); failure.ClassOf(err) != failure.Usage {
		t.Errorf("unknown schedule: error %v, want a usage error", err)
	}
	for _, w := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if _, err := Lookup("linear", w); err == nil {
			t.Errorf("a prior of standard deviation %v was accepted", w)
		}
	}
}
