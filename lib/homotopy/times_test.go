package homotopy

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"vapo/lib/failure"
)

// Times agree with the quantiles of scipy.stats (testdata/times.py).
func TestTimesAreTheQuantiles(t *testing.T) {
	raw, err := os.ReadFile("testdata/times.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		U          []float64
		LogUniform []struct {
			From, To  float64
			Quantiles []float64
		} `json:"log_uniform"`
		LogitNormal []struct {
			Location, Scale float64
			Quantiles       []float64
		} `json:"logit_normal"`
	}
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	linear, err := Lookup("linear", 1)
	if err != nil {
		t.Fatal(err)
	}
	logUniform, err := Times("log-uniform", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range golden.LogUniform {
		s := linear
		if c.To < 1 {
			if s, err = Until(linear, c.To); err != nil {
				t.Fatal(err)
			}
		}
		for i, u := range golden.U {
			if got := logUniform(s, u); math.Abs(got-c.Quantiles[i]) > 1e-9*c.Quantiles[i] {
				t.Errorf("log-uniform from %v to %v: quantile %v is %v, want %v", c.From, c.To, u, got, c.Quantiles[i])
			}
		}
	}
	for name, s := range schedules(t) {
		for _, c := range golden.LogitNormal {
			d, err := Times("logit-normal", c.Location, c.Scale)
			if err != nil {
				t.Fatal(err)
			}
			for i, u := range golden.U {
				if got, want := d(s, u), s.Draw(c.Quantiles[i]); math.Abs(got-want) > 1e-9*want {
					t.Errorf("%s, logit-normal %v, %v: quantile %v is t = %v, want %v", name, c.Location, c.Scale, u, got, want)
				}
			}
		}
	}
}

// The integral of the documented density from the time of u1 to the time of u2 is u2 - u1.
func TestTimesHaveTheDensities(t *testing.T) {
	for name, s := range schedules(t) {
		last := math.Nextafter(1, 0)
		start, end := s.Variable(s.Draw(0)), s.Variable(s.Draw(last))
		for _, c := range []struct {
			name            string
			location, scale float64
			inT             bool
			density         func(v float64) float64
		}{
			{"uniform", 0, 0, false, func(float64) float64 { return 1 }},
			{"log-uniform", 0, 0, true, func(v float64) float64 { return 1 / (v * math.Log(s.Draw(last)/s.Draw(0))) }},
			{"logit-normal", 0, 1, false, logitNormal(0, 1)},
			{"logit-normal", -0.7, 0.6, false, logitNormal(-0.7, 0.6)},
			{"logit-normal", 1.5, 1.2, false, logitNormal(1.5, 1.2)},
		} {
			d, err := Times(c.name, c.location, c.scale)
			if err != nil {
				t.Fatal(err)
			}
			at := func(u float64) float64 {
				v := d(s, u)
				if !c.inT {
					v = (s.Variable(v) - start) / (end - start)
				}
				return v
			}
			for k := range 19 {
				u := 0.05 + 0.05*float64(k)
				a, b := at(u-0.05+1e-4), at(u-1e-4)
				const points = 400 // points of Simpson's rule, evenly spaced in ln v
				la, lb := math.Log(a), math.Log(b)
				var sum float64
				for i := range points + 1 {
					w := []float64{2, 4}[i%2]
					if i == 0 || i == points {
						w = 1
					}
					v := math.Exp(la + (lb-la)*float64(i)/points)
					sum += w * v * c.density(v) * (lb - la) / (3 * points)
				}
				if math.Abs(sum-(0.05-2e-4)) > 1e-4 {
					t.Fatalf("%s, %s %v, %v: probability between the quantiles %v and %v is %v, want their difference",
						name, c.name, c.location, c.scale, u-0.05+1e-4, u-1e-4, sum)
				}
			}
		}
	}
}

func logitNormal(location, scale float64) func(float64) float64 {
	return func(v float64) float64 {
		z := (math.Log(v/(1-v)) - location) / scale
		return math.Exp(-z*z/2) / (scale * math.Sqrt(2*math.Pi) * v * (1 - v))
	}
}

// Times rise with u and stay within the range of training times, even for extreme parameters.
func TestTimesAreMonotone(t *testing.T) {
	us := []float64{0, 0x1p-53, 1e-12, 1e-6}
	for k := range 999 {
		us = append(us, float64(k+1)/1000)
	}
	us = append(us, 1-1e-6, 1-1e-12, math.Nextafter(1, 0))
	for name, s := range schedules(t) {
		for _, kind := range TimeNames() {
			for _, p := range [][2]float64{{0, 1}, {-10, 10}, {10, 10}, {10, 1e-3}, {-10, 1e-3}} {
				d, err := Times(kind, p[0], p[1])
				if err != nil {
					t.Fatal(err)
				}
				first, last, before := s.Draw(0), s.Draw(math.Nextafter(1, 0)), 0.0
				for _, u := range us {
					at := d(s, u)
					if !(at >= before && at >= first && at <= last) {
						t.Fatalf("%s, %s %v: u = %v gives t = %v, want at least the previous %v, and from %v to %v",
							name, kind, p, u, at, before, first, last)
					}
					before = at
				}
				if u := 0.37; kind == "uniform" && d(s, u) != s.Draw(u) {
					t.Errorf("%s: the distribution uniform is not that of Schedule.Draw", name)
				}
			}
		}
	}
}

func TestTimesRefuse(t *testing.T) {
	if _, err := Times("cauchy", 0, 1); failure.ClassOf(err) != failure.Usage ||
		!strings.Contains(err.Error(), fmt.Sprint(TimeNames())) {
		t.Errorf("unknown distribution: error %v, want a usage error that lists the names", err)
	}
	for _, p := range [][2]float64{{math.NaN(), 1}, {11, 1}, {-11, 1}, {0, 0}, {0, -1}, {0, math.NaN()}, {0, 11},
		{math.Inf(1), 1}} {
		if _, err := Times("logit-normal", p[0], p[1]); err == nil {
			t.Errorf("logit-normal of location %v and scale %v was accepted", p[0], p[1])
		}
	}
}
