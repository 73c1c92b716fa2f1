package homotopy_test

import (
	"errors"
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"vapo/lib/autodiff"
	"vapo/lib/backend"
	"vapo/lib/backend/tape"
	"vapo/lib/draw"
	"vapo/lib/graphop"
	"vapo/lib/homotopy"
)

// objective is a compiled loss of a potential with its gradient in the parameters, in float64.
type objective struct {
	exe    backend.Executable
	in     []backend.Buffer // x, noise and the columns of homotopy.Fill
	loss   []float64
	grad   []float64 // in all parameters
	outs   []backend.Buffer
	n, d   int
	params int
}

// newObjective compiles a loss on batches of n points of d dimensions. phi declares its parameters by calling param,
// and their values are the fixed numbers given there.
func newObjective(t *testing.T, name string, n, d int, phi func(param func(name string, values []float64, shape ...int) *graphop.Node, x, c *graphop.Node) *graphop.Node) *objective {
	t.Helper()
	be, err := tape.New("go")
	if err != nil {
		t.Fatal(err)
	}
	g := gorgonia.NewGraph()
	o := &objective{n: n, d: d, loss: make([]float64, 1)}
	var inputs, params []*graphop.Node
	input := func(name string, shape ...int) *graphop.Node {
		x := graphop.Input(g, tensor.Float64, name, shape...)
		inputs = append(inputs, x)
		o.in = append(o.in, backend.F64(make([]float64, x.Shape().TotalSize())))
		return x
	}
	b := homotopy.Batch{
		X: input("x", n, d), Noise: input("noise", n, d), Condition: input("condition", n, 1), Mu: input("mu", n, 1),
		Sigma: input("sigma", n, 1), DMu: input("dmu", n, 1), DSigma: input("dsigma", n, 1), Weight: input("weight", n, 1),
	}
	values := map[string][]float64{}
	param := func(name string, v []float64, shape ...int) *graphop.Node {
		p := graphop.Input(g, tensor.Float64, name, shape...)
		params, values[name] = append(params, p), v
		return p
	}
	terms, err := homotopy.Loss(name, func(x, c *graphop.Node) *graphop.Node { return phi(param, x, c) }, b)
	if err != nil {
		t.Fatal(err)
	}
	grads, err := autodiff.Grad(terms.Loss, params...)
	if err != nil {
		t.Fatal(err)
	}
	graph := backend.Graph{Inputs: inputs, Outputs: append([]*graphop.Node{terms.Loss}, grads...)}
	o.outs = []backend.Buffer{backend.F64(o.loss)}
	for _, p := range params {
		graph.State = append(graph.State, backend.State{In: p})
		o.params += p.Shape().TotalSize()
	}
	o.grad = make([]float64, o.params)
	at := 0
	for _, p := range params {
		size := p.Shape().TotalSize()
		o.outs = append(o.outs, backend.F64(o.grad[at:at+size]))
		at += size
	}
	if o.exe, err = be.Compile(graph); err != nil {
		t.Fatal(err)
	}
	for name, v := range values {
		if err := o.exe.Load(name, backend.F64(v)); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// run evaluates the loss at one time for a batch, with weight 1.
func (o *objective) run(t *testing.T, s homotopy.Schedule, at float64, x, noise []float64) {
	t.Helper()
	copy(o.in[0].F64, x)
	copy(o.in[1].F64, noise)
	p := s.At(at)
	for k, v := range []float64{s.Condition(at), p.Mu, p.Sigma, p.DMu, p.DSigma, 1} {
		for i := range o.in[2+k].F64 {
			o.in[2+k].F64[i] = v
		}
	}
	if err := o.exe.Run(o.in, o.outs); err != nil {
		t.Fatal(err)
	}
}

func linear(t *testing.T) homotopy.Schedule { return lookup(t, "linear") }

func lookup(t *testing.T, name string) homotopy.Schedule {
	t.Helper()
	s, err := homotopy.Lookup(name, 1)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// quadratic is Phi = c + a·|x|²/2 + b·x, whose losses are known in closed form.
func quadratic(a, b, c float64) func(param func(string, []float64, ...int) *graphop.Node, x, _ *graphop.Node) *graphop.Node {
	return func(param func(string, []float64, ...int) *graphop.Node, x, _ *graphop.Node) *graphop.Node {
		d := x.Shape()[1]
		slope := make([]float64, d)
		for i := range slope {
			slope[i] = b
		}
		y := graphop.Scale(graphop.Mul(param("a", []float64{a}, 1, 1), graphop.Sum(graphop.Square(x), 1)), 0.5)
		y = graphop.Add(y, graphop.Sum(graphop.Mul(x, param("b", slope, 1, d)), 1))
		return graphop.Add(y, param("c", []float64{c}, 1, 1))
	}
}

// The losses against their formulas, L1 and L4 written with the a(t), b(t) of H2 and no rearrangement.
func TestLossesAreTheFormulas(t *testing.T) {
	const n, d, like = 7, 3, 0.01
	const a, b, c = 0.7, -0.4, 1.3
	x, noise := make([]float64, n*d), make([]float64, n*d)
	draw.New(1, "x", 0).Normal64(x)
	draw.New(1, "noise", 0).Normal64(noise)
	for _, name := range homotopy.Names() {
		s := lookup(t, name)
		for _, at := range []float64{1e-3, 0.2, 0.5, 0.8} {
			p := s.At(at)
			// a, b, their derivatives: linear is a = 1/(1-t), b = n²t/(1-t)²; vapo a = 1, b = t (w = 1).
			da, db := 0.0, 1.0
			if name == "linear" {
				da, db = 1/((1-at)*(1-at)), like*like*(1+at)/math.Pow(1-at, 3)
			}
			var energy, matching float64
			for i := range n {
				var xx, dist, data2, grad2, match, phi float64
				for k := range d {
					data, eps := x[i*d+k], noise[i*d+k]
					y := p.Mu*data + p.Sigma*eps
					xx += y * y
					dist += (data - y) * (data - y)
					data2 += data * data
					g := a*y + b
					grad2 += g * g
					match += math.Pow(g-(p.DMu*data+p.DSigma*eps), 2)
					phi += a*y*y/2 + b*y
				}
				phi += c
				gamma := da*xx + db*dist/(like*like)
				mean := da*(p.Mu*p.Mu*data2+d*p.Sigma*p.Sigma) + db*((1-p.Mu)*(1-p.Mu)*data2+d*p.Sigma*p.Sigma)/(like*like)
				energy += (grad2/2 + phi*(gamma-mean)/2) / (n * d)
				matching += match / 2 / (n * d)
			}
			for objective, want := range map[string]float64{"energy": energy, "matching": matching} {
				o := newObjective(t, objective, n, d, quadratic(a, b, c))
				o.run(t, s, at, x, noise)
				if math.Abs(o.loss[0]-want) > 1e-9*(1+math.Abs(want)) {
					t.Errorf("%s, %s, t = %v: loss %v, by the formula %v", name, objective, at, o.loss[0], want)
				}
			}
		}
	}
}

// L5: the two objectives differ by a constant in expectation, so their expected gradients agree; the energy form's
// varies more. The potential is a fixed small network, data are two clusters.
func TestEnergyAndMatchingAgreeInExpectation(t *testing.T) {
	const n, d, batches, width = 256, 2, 120, 5
	network := func(param func(string, []float64, ...int) *graphop.Node, x, _ *graphop.Node) *graphop.Node {
		w, b, out := make([]float64, width*d), make([]float64, width), make([]float64, width)
		draw.New(3, "w", 0).Normal64(w)
		draw.New(3, "b", 0).Normal64(b)
		draw.New(3, "out", 0).Normal64(out)
		h := graphop.SiLU(graphop.Add(graphop.MatMul(x, param("w", w, width, d), false, true), param("b", b, 1, width)))
		return graphop.MatMul(h, param("out", out, 1, width), false, true)
	}
	energy, matching := newObjective(t, "energy", n, d, network), newObjective(t, "matching", n, d, network)
	s := linear(t)
	for _, at := range []float64{0.2, 0.5, 0.8} {
		mean := [2][]float64{make([]float64, energy.params), make([]float64, energy.params)}
		square := [2][]float64{make([]float64, energy.params), make([]float64, energy.params)}
		x, noise := make([]float64, n*d), make([]float64, n*d)
		for k := range uint64(batches) {
			draw.New(7, "x", k).Normal64(x)
			for i := range x {
				x[i] = 0.2*x[i] + []float64{-0.6, 0.8}[i/d%2]
			}
			draw.New(7, "noise", k).Normal64(noise)
			for o, obj := range []*objective{energy, matching} {
				obj.run(t, s, at, x, noise)
				for i, g := range obj.grad {
					mean[o][i] += g / batches
					square[o][i] += g * g / batches
				}
			}
		}
		var varianceE, varianceM float64
		for i := range mean[0] {
			ve, vm := square[0][i]-mean[0][i]*mean[0][i], square[1][i]-mean[1][i]*mean[1][i]
			varianceE, varianceM = varianceE+ve, varianceM+vm
			if se := math.Sqrt((ve + vm) / batches); math.Abs(mean[0][i]-mean[1][i]) > 4*se {
				t.Errorf("t = %v, parameter %d: mean gradient of energy %v, of matching %v, standard error %v", at, i, mean[0][i], mean[1][i], se)
			}
		}
		ratio := math.Sqrt(varianceE / varianceM)
		t.Logf("t = %v: the gradient's standard deviation is %.1f times as large for energy", at, ratio)
		if ratio < 1.5 {
			t.Errorf("t = %v: standard deviation of energy over matching is %.2f, expected well above 1", at, ratio)
		}
	}
}

func TestUnknownObjective(t *testing.T) {
	g := gorgonia.NewGraph()
	input := func(name string, shape ...int) *graphop.Node { return graphop.Input(g, tensor.Float64, name, shape...) }
	b := homotopy.Batch{
		X: input("x", 2, 2), Noise: input("noise", 2, 2), Condition: input("condition", 2, 1), Mu: input("mu", 2, 1),
		Sigma: input("sigma", 2, 1), DMu: input("dmu", 2, 1), DSigma: input("dsigma", 2, 1), Weight: input("weight", 2, 1),
	}
	phi := func(x, _ *graphop.Node) *graphop.Node { return graphop.Sum(graphop.Square(x), 1) }
	var unknown *homotopy.UnknownError
	if _, err := homotopy.Loss("hybrid", phi, b); !errors.As(err, &unknown) || unknown.Name != "hybrid" {
		t.Errorf("unknown objective: %v", err)
	}
	var refused *graphop.Error
	b.Noise = input("narrow", 2, 1)
	if _, err := homotopy.Loss("matching", phi, b); !errors.As(err, &refused) {
		t.Errorf("noise of another shape: %v, want a *graphop.Error", err)
	}
}
