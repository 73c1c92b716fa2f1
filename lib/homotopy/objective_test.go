package homotopy_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/backend/tape"
	"vapo/lib/failure"
	"vapo/lib/graphop"
	"vapo/lib/homotopy"
	"vapo/lib/random"
)

// objective is the compiled loss of a potential and the gradient of the loss with respect to the parameters, in
// float64.
type objective struct {
	exe    backend.Executable
	in     []backend.Buffer // x, noise and the coefficients of the path
	loss   []float64
	losses []float64 // of each sample
	grad   []float64 // gradient with respect to all parameters, in the order of declaration
	outs   []backend.Buffer
	n, d   int
	params int
}

// newInputs declares the inputs for a batch of n points with d dimensions.
func newInputs(input func(name string, shape ...int) *graphop.Node, n, d int) homotopy.Inputs {
	return homotopy.Inputs{
		X: input("x", n, d), Noise: input("noise", n, d), Condition: input("condition", n, 1), Mu: input("mu", n, 1),
		Sigma: input("sigma", n, 1), DMu: input("dmu", n, 1), DSigma: input("dsigma", n, 1), Weight: input("weight", n, 1),
	}
}

// lossOf builds an objective for the potential phi.
func lossOf(objective string, phi func(x, c *graphop.Node) *graphop.Node, in homotopy.Inputs) (homotopy.Terms, error) {
	var x, psi *graphop.Node
	if err := graphop.Build(func() { x = in.At(); psi = phi(x, in.Condition) }); err != nil {
		return homotopy.Terms{}, err
	}
	grad, err := graphop.Grad(psi, x)
	if err != nil {
		return homotopy.Terms{}, err
	}
	return homotopy.Loss(objective, in, psi, grad[0])
}

// newObjective compiles a loss on batches of n points of d dimensions. phi builds Psi, the potential in the integration
// variable. It declares its parameters by calling param, which also fixes their values.
func newObjective(t *testing.T, name string, n, d int,
	phi func(param func(name string, values []float64, shape ...int) *graphop.Node, x,
		c *graphop.Node) *graphop.Node) *objective {
	t.Helper()
	be := tape.Tape{}
	g := gorgonia.NewGraph()
	o := &objective{n: n, d: d, loss: make([]float64, 1), losses: make([]float64, n)}
	var inputs, params []*graphop.Node
	input := func(name string, shape ...int) *graphop.Node {
		x := graphop.Input(g, tensor.Float64, name, shape...)
		inputs = append(inputs, x)
		o.in = append(o.in, backend.Buffer{F64: make([]float64, x.Shape().TotalSize())})
		return x
	}
	in := newInputs(input, n, d)
	values := map[string][]float64{}
	param := func(name string, v []float64, shape ...int) *graphop.Node {
		p := graphop.Input(g, tensor.Float64, name, shape...)
		params, values[name] = append(params, p), v
		return p
	}
	terms, err := lossOf(name, func(x, c *graphop.Node) *graphop.Node { return phi(param, x, c) }, in)
	if err != nil {
		t.Fatal(err)
	}
	grads, err := graphop.Grad(terms.Loss, params...)
	if err != nil {
		t.Fatal(err)
	}
	graph := backend.Graph{Inputs: inputs, Outputs: append([]*graphop.Node{terms.Loss, terms.Losses}, grads...)}
	o.outs = []backend.Buffer{backend.Buffer{F64: o.loss}, backend.Buffer{F64: o.losses}}
	for _, p := range params {
		graph.State = append(graph.State, backend.State{In: p})
		o.params += p.Shape().TotalSize()
	}
	o.grad = make([]float64, o.params)
	at := 0
	for _, p := range params {
		size := p.Shape().TotalSize()
		o.outs = append(o.outs, backend.Buffer{F64: o.grad[at : at+size]})
		at += size
	}
	if o.exe, err = be.Compile(graph); err != nil {
		t.Fatal(err)
	}
	for name, v := range values {
		if err := o.exe.Load(name, backend.Buffer{F64: v}); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// run evaluates the loss for a batch of samples that all have weight 1 and the time given by at.
func (o *objective) run(t *testing.T, s homotopy.Schedule, at float64, x, noise []float64) {
	t.Helper()
	times, weights := make([]float64, o.n), make([]float64, o.n)
	for i := range times {
		times[i], weights[i] = at, 1
	}
	o.runAt(t, s, times, weights, x, noise)
}

func (o *objective) runAt(t *testing.T, s homotopy.Schedule, times, weights, x, noise []float64) {
	t.Helper()
	copy(o.in[0].F64, x)
	copy(o.in[1].F64, noise)
	for i, at := range times {
		p, rate := s.At(at), s.Rate(at)
		for k, v := range []float64{s.Condition(at), p.Mu, p.Sigma, rate * p.DMu, rate * p.DSigma, weights[i]} {
			o.in[2+k].F64[i] = v
		}
	}
	if err := o.exe.Run(o.in, o.outs); err != nil {
		t.Fatal(err)
	}
}

func lookup(t *testing.T, name string, priorStd float64) homotopy.Schedule {
	t.Helper()
	s, err := homotopy.Lookup(name, priorStd)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// quadratic is Phi = c + a·|x|²/2 + b·x, whose losses are known in closed form.
func quadratic(a float64, b []float64, c float64) func(param func(string, []float64, ...int) *graphop.Node, x,
	_ *graphop.Node) *graphop.Node {
	return func(param func(string, []float64, ...int) *graphop.Node, x, _ *graphop.Node) *graphop.Node {
		y := graphop.Scale(graphop.Mul(param("a", []float64{a}, 1, 1), graphop.Sum(graphop.Square(x), 1)), 0.5)
		y = graphop.Add(y, graphop.Sum(graphop.Mul(x, param("b", b, 1, len(b))), 1))
		return graphop.Add(y, param("c", []float64{c}, 1, 1))
	}
}

// The energy loss agrees with L1 and the first form of L4, in terms of a(t) and b(t) of H2, and the matching loss
// agrees with the first term of L5. The test computes the derivatives da and db of a = w²(1-mu)/sigma² and b =
// n²mu/sigma² from mu and sigma. In the code of the test, n of H2 is called like, and a, b and c are the coefficients
// of a quadratic potential.
func TestLossesAreTheFormulas(t *testing.T) {
	const n, d, like = 7, 3, 0.01
	const a, b, c = 0.7, -0.4, 1.3
	x, noise := make([]float64, n*d), make([]float64, n*d)
	random.New(1, "x", 0).Normal64(x)
	random.New(1, "noise", 0).Normal64(noise)
	objectives := map[string]*objective{}
	for _, name := range []string{"energy", "matching"} {
		objectives[name] = newObjective(t, name, n, d, quadratic(a, []float64{b, b, b}, c))
	}
	for _, name := range homotopy.Names() {
		for _, w := range []float64{1, 2} {
			s := lookup(t, name, w)
			for _, at := range []float64{1e-3, 0.2, 0.5, 0.8} {
				p, rate := s.At(at), s.Rate(at)
				s2, s3 := p.Sigma*p.Sigma, p.Sigma*p.Sigma*p.Sigma
				da := w * w * (-p.DMu/s2 - 2*(1-p.Mu)*p.DSigma/s3)
				db := like * like * (p.DMu/s2 - 2*p.Mu*p.DSigma/s3)
				// For these schedules a' and b' have a simple closed form.
				want := map[string][2]float64{
					"vapo":   {0, 1},
					"linear": {1 / ((1 - at) * (1 - at)), like * like * (1 + at) / (w * w * math.Pow(1-at, 3))},
				}
				if ab, ok := want[name]; ok && (math.Abs(da-ab[0]) > 1e-8*(1+ab[0]) || math.Abs(db-ab[1]) > 1e-8*(1+ab[1])) {
					t.Errorf("%s, w = %v, t = %v: a' and b' are %v and %v, want %v", name, w, at, da, db, ab)
				}
				var energy, matching float64
				for i := range n {
					var xx, dist, data2, grad2, match, psi float64
					for k := range d {
						data, eps := x[i*d+k], noise[i*d+k]
						y := p.Mu*data + p.Sigma*eps
						xx += y * y
						dist += (data - y) * (data - y)
						data2 += data * data
						g := a*y + b
						grad2 += g * g
						match += math.Pow(g-rate*(p.DMu*data+p.DSigma*eps), 2)
						psi += a*y*y/2 + b*y
					}
					psi += c
					gamma := da*xx/(w*w) + db*dist/(like*like)
					mean := da*(p.Mu*p.Mu*data2+d*s2)/(w*w) + db*((1-p.Mu)*(1-p.Mu)*data2+d*s2)/(like*like)
					energy += (grad2/2 + psi*rate*(gamma-mean)/2) / (n * d)
					matching += match / 2 / (n * d)
				}
				for objective, want := range map[string]float64{"energy": energy, "matching": matching} {
					o := objectives[objective]
					o.run(t, s, at, x, noise)
					if math.Abs(o.loss[0]-want) > 1e-8*(1+math.Abs(want)) {
						t.Errorf("%s, w = %v, %s, t = %v: loss %v, want %v by the formula",
							name, w, objective, at, o.loss[0], want)
					}
				}
			}
		}
	}
}

// By L5 the expectations of energy and matching differ by a constant, so their expected gradients agree. The gradient
// of energy varies about as much as that of matching or more, and its standard deviation is at least 1.5 times as large
// at one of the times. (At early times on vapo the velocity is small, so |grad Psi|² dominates both losses.) The
// potential is a fixed small network; the data are two clusters.
func TestEnergyAndMatchingAgreeInExpectation(t *testing.T) {
	const n, d, batches, width = 256, 2, 60, 5
	network := func(param func(string, []float64, ...int) *graphop.Node, x, _ *graphop.Node) *graphop.Node {
		w, b, out := make([]float64, width*d), make([]float64, width), make([]float64, width)
		random.New(3, "w", 0).Normal64(w)
		random.New(3, "b", 0).Normal64(b)
		random.New(3, "out", 0).Normal64(out)
		h := graphop.SiLU(graphop.Add(graphop.MatMul(x, param("w", w, width, d), false, true), param("b", b, 1, width)))
		return graphop.MatMul(h, param("out", out, 1, width), false, true)
	}
	energy, matching := newObjective(t, "energy", n, d, network), newObjective(t, "matching", n, d, network)
	for _, name := range homotopy.Names() {
		s := lookup(t, name, 1)
		largest := 0.0
		for _, u := range []float64{0.2, 0.5, 0.8} {
			at := s.Draw(u)
			e, m := newMoments(energy.params), newMoments(matching.params)
			x, noise := make([]float64, n*d), make([]float64, n*d)
			for k := range uint64(batches) {
				random.New(7, "x", k).Normal64(x)
				for i := range x {
					x[i] = 0.2*x[i] + []float64{-0.6, 0.8}[i/d%2]
				}
				random.New(7, "noise", k).Normal64(noise)
				energy.run(t, s, at, x, noise)
				matching.run(t, s, at, x, noise)
				e.add(energy.grad)
				m.add(matching.grad)
			}
			var varianceE, varianceM float64
			for i := range energy.params {
				ve, vm := e.variance(i), m.variance(i)
				varianceE, varianceM = varianceE+ve, varianceM+vm
				if se := math.Sqrt((ve + vm) / batches); !(math.Abs(e.mean(i)-m.mean(i)) <= 4*se) {
					t.Errorf("%s, t = %v, parameter %d: mean gradient of energy %v, of matching %v, standard error %v",
						name, at, i, e.mean(i), m.mean(i), se)
				}
			}
			ratio := math.Sqrt(varianceE / varianceM)
			t.Logf("%s, t = %.3g: the gradient's standard deviation is %.1f times as large for energy", name, at, ratio)
			if ratio < 0.95 {
				t.Errorf("%s, t = %v: standard deviation of energy over matching is %.2f, want at least 0.95", name, at, ratio)
			}
			largest = max(largest, ratio)
		}
		if largest < 1.5 {
			t.Errorf("%s: standard deviation of energy over matching is at most %.2f, want 1.5 or more at some time",
				name, largest)
		}
	}
}

// moments accumulates the moments of gradients over batches.
type moments struct {
	n           float64
	sum, square []float64
}

func newMoments(n int) *moments { return &moments{sum: make([]float64, n), square: make([]float64, n)} }

func (m *moments) add(v []float64) {
	m.n++
	for i, g := range v {
		m.sum[i] += g
		m.square[i] += g * g
	}
}

func (m *moments) mean(i int) float64     { return m.sum[i] / m.n }
func (m *moments) variance(i int) float64 { return m.square[i]/m.n - m.mean(i)*m.mean(i) }

// errors returns the mean of element i in units of its standard error.
func (m *moments) errors(i int) float64 { return m.mean(i) / math.Sqrt(m.variance(i)/(m.n-1)) }

func TestCheck(t *testing.T) {
	for _, objective := range homotopy.Objectives() {
		for _, schedule := range homotopy.Names() {
			err := homotopy.Check(objective, schedule)
			want := objective == "hybrid" && schedule != "linear" || objective == "denoising" && schedule != "vp"
			if (failure.ClassOf(err) == failure.Usage) != want {
				t.Errorf("%s on %s: error %v, want a usage error if the pair is refused (%v)", objective, schedule, err, want)
			}
		}
	}
	if err := homotopy.Check("hope", "linear"); err == nil || !strings.Contains(err.Error(), `objective "hope"`) {
		t.Errorf("unknown objective: error %v, want one that names it", err)
	}
	if err := homotopy.Check("energy", "straight"); err == nil || !strings.Contains(err.Error(), `schedule "straight"`) {
		t.Errorf("unknown schedule: error %v, want one that names it", err)
	}
}

func TestUnknownObjective(t *testing.T) {
	g := gorgonia.NewGraph()
	input := func(name string, shape ...int) *graphop.Node { return graphop.Input(g, tensor.Float64, name, shape...) }
	in := newInputs(input, 2, 2)
	phi := func(x, _ *graphop.Node) *graphop.Node { return graphop.Sum(graphop.Square(x), 1) }
	if _, err := lossOf("hope", phi, in); failure.ClassOf(err) != failure.Usage {
		t.Errorf("unknown objective: error %v, want a usage error", err)
	}
	var refused *graphop.Error
	in.Noise = input("narrow", 2, 1)
	if _, err := lossOf("matching", phi, in); !errors.As(err, &refused) {
		t.Errorf("noise of a different shape: error %v, want a *graphop.Error", err)
	}
}
