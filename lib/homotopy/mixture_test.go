package homotopy

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"vapo/lib/dataset"
	"vapo/lib/metrics"
	"vapo/lib/random"
)

func mixture(t *testing.T, components ...dataset.Component) *dataset.Mixture {
	t.Helper()
	m, err := dataset.NewMixture(components)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func ring(t *testing.T) *dataset.Mixture {
	var c []dataset.Component
	for k := range 8 {
		a := 2 * math.Pi * float64(k) / 8
		c = append(c, dataset.Component{Weight: 1 + float64(k%3), Mean: []float64{math.Cos(a), math.Sin(a)}, Std: 0.15})
	}
	return mixture(t, c...)
}

// logMarginal computes log rhobar(x, t) from the definition: rhobar is the mixture of N(mu·m_k, (mu²s_k² + sigma²) I).
func logMarginal(m *dataset.Mixture, p Point, x []float64) float64 {
	var moved []dataset.Component
	for _, c := range m.Components {
		mean := make([]float64, len(c.Mean))
		for i := range mean {
			mean[i] = p.Mu * c.Mean[i]
		}
		moved = append(moved, dataset.Component{Weight: c.Weight, Mean: mean, Std: math.Hypot(p.Mu*c.Std, p.Sigma)})
	}
	return (&dataset.Mixture{Components: moved}).LogDensity(x)
}

// The field agrees with L6, v = (mu'/mu) x + sigma (sigma mu'/mu - sigma') grad log rhobar, if the gradient is taken
// numerically.
func TestFieldIsL6(t *testing.T) {
	three := mixture(t, dataset.Component{Weight: 1, Mean: []float64{1, 0, -0.5}, Std: 0.3},
		dataset.Component{Weight: 3, Mean: []float64{-1, 0.5, 0}, Std: 0.1})
	rng := rand.New(rand.NewPCG(1, 1))
	for name, s := range schedules(t) {
		for _, m := range []*dataset.Mixture{ring(t), three} {
			d := m.Dim()
			f := NewMixtureField(m)
			for range 200 {
				at := s.Draw(0.02 + 0.93*rng.Float64())
				p := s.At(at)
				data, _ := m.Sample(random.New(rng.Uint64(), "x", 0), 1)
				x, grad := make([]float64, d), make([]float64, d)
				for i := range x {
					x[i] = p.Mu*float64(data[i]) + p.Sigma*rng.NormFloat64()
				}
				density := f.At(p, x, grad)
				if want := logMarginal(m, p, x); math.Abs(density-want) > 1e-9*(1+math.Abs(want)) {
					t.Fatalf("%s: log density at t = %v is %v, want %v", name, at, density, want)
				}
				var diff, norm float64
				for i := range x {
					h := 1e-5 * p.Sigma
					old := x[i]
					x[i] = old + h
					up := logMarginal(m, p, x)
					x[i] = old - h
					down := logMarginal(m, p, x)
					x[i] = old
					ratio := p.DMu / p.Mu
					want := ratio*old + p.Sigma*(p.Sigma*ratio-p.DSigma)*(up-down)/(2*h)
					diff += (grad[i] - want) * (grad[i] - want)
					norm += want*want + ratio*ratio*old*old
				}
				if math.Sqrt(diff/norm) > 1e-5 {
					t.Fatalf("%s, %d dimensions, t = %v: relative difference from L6 %.3g", name, d, at, math.Sqrt(diff/norm))
				}
			}
		}
	}
}

// The field is the mean velocity of all paths through x. The test estimates this mean, E[v|x], by importance sampling:
// it draws x̄ from the data and weights each draw by the density of x given x̄.
func TestFieldIsMeanVelocity(t *testing.T) {
	m := ring(t)
	f := NewMixtureField(m)
	const n = 200_000
	data, _ := m.Sample(random.New(5, "data", 0), n)
	for name, s := range schedules(t) {
		for _, u := range []float64{0.3, 0.5, 0.8} {
			at := s.Draw(u)
			p := s.At(at)
			if p.Sigma < 0.05 {
				continue // too few draws would have a notable weight
			}
			x := []float64{p.Mu*0.7 + 0.3*p.Sigma, p.Mu*0.5 - 0.8*p.Sigma}
			var total float64
			weights, velocities := make([]float64, n), [2][]float64{make([]float64, n), make([]float64, n)}
			for i := range n {
				a, b := float64(data[2*i]), float64(data[2*i+1])
				e0, e1 := (x[0]-p.Mu*a)/p.Sigma, (x[1]-p.Mu*b)/p.Sigma
				w := math.Exp(-0.5 * (e0*e0 + e1*e1))
				total += w
				weights[i], velocities[0][i], velocities[1][i] = w, p.DMu*a+p.DSigma*e0, p.DMu*b+p.DSigma*e1
			}
			grad := make([]float64, 2)
			f.At(p, x, grad)
			for i := range grad {
				var want, variance float64
				for k, w := range weights {
					want += w / total * velocities[i][k]
				}
				for k, w := range weights {
					e := w / total * (velocities[i][k] - want)
					variance += e * e
				}
				if se := math.Sqrt(variance); math.Abs(grad[i]-want) > 4*se || se > 0.05+0.1*math.Hypot(grad[0], grad[1]) {
					t.Errorf("%s, t = %v: component %d of the field is %v, want the mean over %d paths, %v ± %v",
						name, at, i, grad[i], n, want, se)
				}
			}
		}
	}
}

// Far from all components the densities underflow, but the field must stay finite.
func TestFieldFarAway(t *testing.T) {
	f := NewMixtureField(ring(t))
	grad := make([]float64, 2)
	for name, s := range schedules(t) {
		for _, at := range []float64{0, 0.5, 1} {
			density := f.At(s.At(at), []float64{1e4, -3e4}, grad)
			if math.IsNaN(density) || math.IsNaN(grad[0]) || math.IsInf(grad[0], 0) || math.IsNaN(grad[1]) ||
				math.IsInf(grad[1], 0) {
				t.Errorf("%s, t = %v: log density %v, field %v, want finite values", name, at, density, grad)
			}
		}
	}
}

// carry moves the points x [n, 2] along the flow of the closed form, over the whole span of the schedule.
func carry(t *testing.T, m *dataset.Mixture, s Schedule, x []float32, steps int) {
	t.Helper()
	f := NewMixtureField(m)
	velocity := func(x [2]float64, at float64) (v [2]float64) {
		time, rate := s.Time(at)
		f.At(s.At(time), x[:], v[:])
		return [2]float64{rate * v[0], rate * v[1]}
	}
	from, to := s.Span()
	h := (to - from) / float64(steps)
	for i := 0; i < len(x); i += 2 {
		p := [2]float64{float64(x[i]), float64(x[i+1])}
		for k := range steps { // Heun's method
			at := from + h*float64(k)
			a := velocity(p, at)
			b := velocity([2]float64{p[0] + h*a[0], p[1] + h*a[1]}, at+h)
			p[0] += h / 2 * (a[0] + b[0])
			p[1] += h / 2 * (a[1] + b[1])
		}
		x[i], x[i+1] = float32(p[0]), float32(p[1])
	}
}

// The flow of the closed form carries the prior to the data: the distance between carried samples and fresh data is at
// most a quarter larger than that between two sets of fresh data.
func TestFlowReachesTheData(t *testing.T) {
	m := ring(t)
	const n, pairs = 2000, 12
	s, err := Lookup("linear", 1)
	if err != nil {
		t.Fatal(err)
	}
	var ours, floor float64
	for k := range uint64(pairs) {
		x := make([]float32, 2*n)
		random.New(1, "prior", k).Normal(x)
		carry(t, m, s, x, 40)
		a, _ := m.Sample(random.New(1, "a", k), n)
		b, _ := m.Sample(random.New(1, "b", k), n)
		for _, c := range []struct {
			x   []float32
			sum *float64
		}{{x, &ours}, {b, &floor}} {
			d, err := metrics.SlicedW2(a, c.x, 2, 32, k)
			if err != nil {
				t.Fatal(err)
			}
			*c.sum += d / pairs
		}
	}
	t.Logf("sliced W2 from samples to data %.4f, between two sets of data %.4f", ours, floor)
	if ours > 1.25*floor {
		t.Errorf("sliced W2 from the flow's samples to data is %.4f, want at most 1.25 times %.4f", ours, floor)
	}
}

// All schedules follow the same path x̄ + (sigma/mu)·eps, with different scales and speeds. So all schedules carry a
// sample of the prior to the same place, except for two deviations: the noise sigma/mu that is left at the end, and, on
// vp, the small share of data at the start.
func TestSchedulesCarryToTheSamePlace(t *testing.T) {
	m := ring(t)
	const n, steps = 150, 150
	for _, w := range []float64{1, 2} {
		want := make([]float32, 2*n)
		prior := make([]float32, 2*n)
		random.New(3, "prior", 0).Normal(prior)
		for i := range prior {
			prior[i] *= float32(w)
		}
		linear, err := Lookup("linear", w)
		if err != nil {
			t.Fatal(err)
		}
		copy(want, prior)
		carry(t, m, linear, want, steps)
		for _, c := range []struct {
			name      string
			end       float64
			tolerance float64
		}{{"vapo", 1, 2e-3}, {"vapo", 100, 1e-3}, {"cosine", 1, 5e-4}, {"vp", 1, 2e-3}} {
			s, err := Lookup(c.name, w)
			if err == nil {
				s, err = Until(s, c.end)
			}
			if err != nil {
				t.Fatal(err)
			}
			x := slices.Clone(prior)
			carry(t, m, s, x, steps)
			distances := make([]float64, n)
			for i := range distances {
				distances[i] = math.Hypot(float64(x[2*i]-want[2*i]), float64(x[2*i+1]-want[2*i+1]))
			}
			slices.Sort(distances) // a sample on the border of two components may move to either component
			t.Logf("%s until %v, w = %v: distance from linear's %.2g (median), %.2g (9 of 10)", c.name, c.end, w, distances[n/2],
				distances[9*n/10])
			if !(distances[9*n/10] < c.tolerance) {
				t.Errorf("%s until %v, w = %v: one sample in ten ends %v or more from where linear carries it",
					c.name, c.end, w, distances[9*n/10])
			}
		}
	}
}

// Differences of LogDensity agree with the closed form. The test obtains the potential by integrating the exact field
// along a line.
func TestLogDensity(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 7))
	m := ring(t)
	d := m.Dim()
	f := NewMixtureField(m)
	for name, s := range schedules(t) {
		for range 20 {
			p := s.At(s.Draw(0.1 + 0.8*rng.Float64()))
			x, y, at, grad := make([]float64, d), make([]float64, d), make([]float64, d), make([]float64, d)
			for i := range x {
				x[i], y[i] = rng.NormFloat64(), rng.NormFloat64()
			}
			const n = 2000 // Simpson's rule
			var phi, xx, yy float64
			for k := range n + 1 {
				weight := []float64{2, 4}[k%2]
				if k == 0 || k == n {
					weight = 1
				}
				for i := range at {
					at[i] = x[i] + (y[i]-x[i])*float64(k)/n
				}
				f.At(p, at, grad)
				for i := range at {
					phi += weight / (3 * n) * grad[i] * (y[i] - x[i])
				}
			}
			for i := range x {
				xx, yy = xx+x[i]*x[i], yy+y[i]*y[i]
			}
			got, want := p.LogDensity(phi, yy)-p.LogDensity(0, xx), logMarginal(m, p, y)-logMarginal(m, p, x)
			if math.Abs(got-want) > 1e-4*(1+math.Abs(want)) {
				t.Fatalf("%s, %+v: the log densities at two points differ by %v, want %v", name, p, got, want)
			}
		}
	}
}
