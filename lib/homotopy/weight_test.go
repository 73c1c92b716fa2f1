package homotopy

import (
	"math"
	"testing"

	"vapo/lib/failure"
)

// Near t = 1 the noise of energy grows as 1/sigma on all schedules but vapo, so energy has the weight sigma/w on these
// schedules. All other combinations of an objective and a schedule have the weight 1.
func TestForObjective(t *testing.T) {
	for name, s := range schedules(t) {
		for _, objective := range Objectives() {
			for _, at := range []float64{1e-3, 0.3, 0.9, 1} {
				want := 1.0
				if s.Name() != "vapo" && objective == "energy" {
					want = s.At(at).Sigma / priorStd(s)
				}
				if got := ForObjective(s, objective).Weight(at); math.Abs(got-want) > 1e-15 {
					t.Errorf("%s, %s: weight %v at t = %v, want %v", name, objective, got, at, want)
				}
			}
		}
	}
}

// As ForObjective claims, the weighted innovation per unit of s is bounded at all times.
func TestInnovationIsBounded(t *testing.T) {
	for name, s := range schedules(t) {
		w := priorStd(s)
		weighted := ForObjective(s, "energy")
		for k := range 1000 {
			at := s.Draw((float64(k) + 0.5) / 1000)
			p, scale := s.At(at), s.Rate(at)*weighted.Weight(at)
			noise, drift := math.Abs(scale*p.DSigma/p.Sigma), scale*p.DMu/p.Sigma
			bound := [2]float64{4, 4 / w}
			if s.Name() == "vapo" {
				bound = [2]float64{0.5, 0.4 / w}
			}
			if noise > bound[0] || drift > bound[1] {
				t.Fatalf("%s, t = %v: factors of the innovation are %v and %v, want at most %v", name, at, noise, drift, bound)
			}
		}
	}
}

func TestWeights(t *testing.T) {
	for name, s := range schedules(t) {
		w := priorStd(s)
		for _, objective := range []string{"matching", "energy"} {
			for _, weight := range WeightNames() {
				v, err := Weighted(s, objective, weight)
				if err != nil {
					t.Fatal(err)
				}
				const points = 5000
				var mean, smallest, largest float64
				for k := range points {
					at := v.Draw((float64(k) + 0.5) / points)
					got := v.Weight(at)
					mean += got / points
					largest = max(largest, got)
					if k == 0 || got < smallest {
						smallest = got
					}
					p, rate := s.At(at), s.Rate(at)
					switch {
					case weight == "none" && got != 1, weight == "auto" &&
						got != ForObjective(s, objective).Weight(at), weight == "sigma" && got != p.Sigma/w:
						t.Fatalf("%s, %s: weight %v at t = %v, want 1 for none, ForObjective's for auto, sigma/w for sigma",
							name, weight, got, at)
					case weight == "velocity": // weight times squared velocity is the same at all times
						first := v.Draw(0)
						q, qr := s.At(first), s.Rate(first)
						here := got * rate * rate * (p.DMu*p.DMu + p.DSigma*p.DSigma/(w*w))
						there := v.Weight(first) * qr * qr * (q.DMu*q.DMu + q.DSigma*q.DSigma/(w*w))
						if math.Abs(here-there) > 1e-9*there {
							t.Fatalf("%s, velocity: weight times the velocity's square is %v at t = %v, want %v as at t = %v",
								name, here, at, there, first)
						}
					}
				}
				t.Logf("%s, %s: %.3g to %.3g, mean %.3g", name, weight, smallest, largest, mean)
				if !(smallest > 0) || weight != "velocity" && largest > 1 {
					t.Errorf("%s, %s: weights from %v to %v, want above 0 and, except for velocity, at most 1",
						name, weight, smallest, largest)
				}
				if weight == "velocity" && math.Abs(mean-1) > 0.01 {
					t.Errorf("%s, velocity: mean weight %v, want 1", name, mean)
				}
				// Only the weights of the schedule change.
				a, b := v.Span()
				if c, d := s.Span(); a != c || b != d || v.At(0.3) != s.At(0.3) || v.Draw(0.3) != s.Draw(0.3) ||
					v.Name() != s.Name() {
					t.Errorf("%s, %s: the path, its name or its training times have changed", name, weight)
				}
			}
		}
	}
	s, err := Lookup("vapo", 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Weighted(s, "energy", "heavy"); failure.ClassOf(err) != failure.Usage {
		t.Errorf("unknown weight: error %v, want a usage error", err)
	}
	if _, err := Weighted(s, "hybrid", "none"); failure.ClassOf(err) != failure.Usage {
		t.Errorf("weights of hybrid on vapo: error %v, want a usage error", err)
	}
}
