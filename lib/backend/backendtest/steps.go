package backendtest

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"vapo/lib/backend"
	"vapo/lib/graphop"
)

// StepGraph is a whole training step of a small network. Its loss contains the gradient of a potential with respect to
// the input. The step computes the gradient of the loss with respect to the parameters. It applies Adam if the loss is
// finite; otherwise it keeps the state.
type StepGraph struct {
	Name  string
	Graph backend.Graph
	Dtype tensor.Dtype
}

// Steps returns the training steps that engines are checked on: those of a perceptron, of a convolutional network with
// normalisation, pooling, upsampling and concatenation, of a residual network with rematerialised blocks, and of a
// network with the operations that the other three lack. Batch sizes are primes, so that vectorised loops have
// remainders.
func Steps(dt tensor.Dtype) []StepGraph {
	return []StepGraph{
		newStep("mlp", dt, []int{37, 2}, perceptron(19)),
		newStep("convolution", dt, []int{5, 2, 6, 8}, convolution),
		newStep("blocks", dt, []int{5, 2, 6, 8}, blocks),
		newStep("everything", dt, []int{5, 2, 8, 7}, everything),
	}
}

// NewMLPStep returns the training step of a perceptron whose hidden layers have the given width, for batches of
// two-dimensional points.
func NewMLPStep(dt tensor.Dtype, batch, width int) StepGraph {
	return newStep("mlp", dt, []int{batch, 2}, perceptron(width))
}

// potential builds a potential of points x [N, ...] at times t [N, 1].
type potential func(p *parameters, x, t *graphop.Node) *graphop.Node

// parameters collects the parameters of a potential.
type parameters struct {
	g     *gorgonia.ExprGraph
	dt    tensor.Dtype
	nodes []*graphop.Node
}

func (p *parameters) param(name string, shape ...int) *graphop.Node {
	n := graphop.Input(p.g, p.dt, "param/"+name, shape...)
	p.nodes = append(p.nodes, n)
	return n
}

func perceptron(width int) potential {
	return func(p *parameters, x, t *graphop.Node) *graphop.Node {
		h := graphop.Concat(1, x, t, graphop.Sin(graphop.Mul(t, graphop.Table(t, []float64{1, 2, 4}, 1, 3))))
		for i := range 2 {
			w := p.param(fmt.Sprintf("w%d", i), width, h.Shape()[1])
			b := p.param(fmt.Sprintf("b%d", i), width)
			h = graphop.SiLU(graphop.Add(graphop.MatMul(h, w, false, true), graphop.Reshape(b, 1, width)))
		}
		return graphop.MatMul(h, p.param("out", 1, width), false, true)
	}
}

func convolution(p *parameters, x, t *graphop.Node) *graphop.Node {
	s := x.Shape()
	n := s[0]
	conv := func(name string, x *graphop.Node, out, k int) *graphop.Node {
		w := p.param(name+".weight", out, x.Shape()[1], k, k)
		return graphop.Add(graphop.Conv(x, w, 1, k/2, k/2), graphop.Reshape(p.param(name+".bias", out), 1, out, 1, 1))
	}
	h := conv("in", x, 4, 3)
	centred := graphop.Sub(h, graphop.Mean(h, 1, 2, 3)) // the mean includes the channels; otherwise the bias would cancel
	h = graphop.Div(centred, graphop.Sqrt(graphop.AddScalar(graphop.Mean(graphop.Square(centred), 1, 2, 3), 1e-2)))
	h = graphop.SiLU(graphop.Add(h, graphop.Reshape(t, n, 1, 1, 1)))
	down := graphop.SiLU(conv("down", graphop.AvgPool(h, 2), 6, 3))
	h = conv("out", graphop.Concat(1, h, graphop.Upsample(down, 2)), s[1], 1)
	d := graphop.Reshape(graphop.Sub(x, h), n, s.TotalSize()/n)
	return graphop.Scale(graphop.Sum(graphop.Square(d), 1), 0.5)
}

// blocks is a residual network that marks its blocks, so that the step computes the values inside them again
// (graphop.Rematerialise).
func blocks(p *parameters, x, t *graphop.Node) *graphop.Node {
	s := x.Shape()
	conv := func(name string, x *graphop.Node, out int) *graphop.Node {
		return graphop.Conv(x, p.param(name, out, x.Shape()[1], 3, 3), 1, 1, 1)
	}
	h := graphop.Boundary(conv("in", x, 4))
	skip := h
	for i := range 3 {
		name := fmt.Sprintf("block%d", i)
		inside := graphop.SiLU(graphop.Add(conv(name+".a", graphop.SiLU(h), 4), graphop.Reshape(t, s[0], 1, 1, 1)))
		inside = graphop.Dropout(inside, drawKey(x), name, 0.3)
		h = graphop.Boundary(graphop.Add(h, conv(name+".b", inside, 4)))
	}
	h = graphop.SiLU(graphop.Concat(1, h, graphop.Boundary(skip)))
	return graphop.Reshape(graphop.Sum(h, 1, 2, 3), s[0], 1)
}

func newStep(name string, dt tensor.Dtype, shape []int, phi potential) StepGraph {
	p := &parameters{g: gorgonia.NewGraph(), dt: dt}
	x := graphop.Input(p.g, dt, "x", shape...)
	t := graphop.Input(p.g, dt, "t", shape[0], 1)
	v := graphop.Input(p.g, dt, "v", shape...)
	rate := graphop.Input(p.g, dt, "rate", 1)
	value := phi(p, x, t)
	field := must(graphop.Grad(value, x))[0]
	loss := graphop.Mean(graphop.Reshape(graphop.Square(graphop.Sub(field, v)), x.Shape().TotalSize()))
	roots := append([]*graphop.Node{loss, value, field}, must(graphop.Grad(loss, p.nodes...))...)
	roots = must(graphop.Rematerialise(roots...))
	loss, value, field = roots[0], roots[1], roots[2]
	ok := graphop.IsFinite(loss)
	s := StepGraph{Name: name, Dtype: dt}
	s.Graph.Inputs = []*graphop.Node{x, t, v, rate}
	for i, d := range roots[3:] {
		w := p.nodes[i]
		one := slices.Repeat([]int{1}, w.Dims())
		m := graphop.Input(p.g, dt, "m/"+w.Name(), w.Shape()...)
		u := graphop.Input(p.g, dt, "u/"+w.Name(), w.Shape()...)
		m2 := graphop.Add(graphop.Scale(m, 0.9), graphop.Scale(d, 0.1))
		u2 := graphop.Add(graphop.Scale(u, 0.99), graphop.Scale(graphop.Square(d), 0.01))
		update := graphop.Div(m2, graphop.AddScalar(graphop.Sqrt(u2), 1e-4))
		w2 := graphop.Sub(w, graphop.Mul(update, graphop.Reshape(rate, one...)))
		keep := graphop.Reshape(ok, one...)
		s.Graph.State = append(s.Graph.State,
			backend.State{In: w, Out: graphop.Where(keep, w2, w)},
			backend.State{In: m, Out: graphop.Where(keep, m2, m)},
			backend.State{In: u, Out: graphop.Where(keep, u2, u)})
	}
	s.Graph.Outputs = []*graphop.Node{loss, value, field}
	return s
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// wave returns element i of the k-th fixed sequence in [-1, 1], with the same bits on every machine.
func wave(k, i int) float64 {
	return float64((i*7919+k*104729)%2003)/1001 - 1
}

func (s StepGraph) buffer(n *graphop.Node, value func(i int) float64) backend.Buffer {
	size := n.Shape().TotalSize()
	if s.Dtype == tensor.Float64 {
		b := make([]float64, size)
		for i := range b {
			b[i] = value(i)
		}
		return backend.Buffer{F64: b}
	}
	b := make([]float32, size)
	for i := range b {
		b[i] = float32(value(i))
	}
	return backend.F32(b)
}

// Load sets the state to fixed values; Adam's moments are 0.
func (s StepGraph) Load(exe backend.Executable) error {
	for k, st := range s.Graph.State {
		scale := 0.0 // for Adam's moments
		if k%3 == 0 {
			shape := st.In.Shape()
			scale = 1 / math.Sqrt(float64(shape.TotalSize()/shape[0]))
		}
		if err := exe.Load(st.In.Name(), s.buffer(st.In, func(i int) float64 { return scale * wave(k, i) })); err != nil {
			return err
		}
	}
	return nil
}

// Feed returns fixed inputs for a step.
func (s StepGraph) Feed(step int) []backend.Buffer {
	var in []backend.Buffer
	for k, n := range s.Graph.Inputs {
		in = append(in, s.buffer(n, func(i int) float64 {
			switch n.Name() {
			case "t":
				return 0.5 + 0.5*wave(step, i)
			case "rate":
				return 1e-2
			}
			return 2 * wave(10*step+k, i)
		}))
	}
	return in
}

// Room returns new buffers for the outputs.
func (s StepGraph) Room() []backend.Buffer {
	var out []backend.Buffer
	for _, n := range s.Graph.Outputs {
		out = append(out, s.buffer(n, func(int) float64 { return 0 }))
	}
	return out
}

// Trace loads the state and runs the given number of steps. It returns the outputs of every step, then the state after
// the last step.
func (s StepGraph) Trace(exe backend.Executable, steps int) ([]backend.Buffer, error) {
	if err := s.Load(exe); err != nil {
		return nil, err
	}
	var all []backend.Buffer
	for k := range steps {
		out := s.Room()
		if err := exe.Run(s.Feed(k), out); err != nil {
			return nil, err
		}
		all = append(all, out...)
	}
	for _, st := range s.Graph.State {
		b := s.buffer(st.In, func(int) float64 { return 0 })
		if err := exe.Store(st.In.Name(), b); err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

// checkSteps compares consecutive training steps with Interpret.
func checkSteps(t *testing.T, be backend.Backend) {
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		for _, s := range Steps(dt) {
			t.Run(fmt.Sprintf("%s %v", s.Name, dt), func(t *testing.T) {
				exe, err := be.Compile(s.Graph)
				if err != nil {
					t.Fatal(err)
				}
				const steps = 4
				got, want := must(s.Trace(exe, steps)), must(s.Trace(Interpret(s.Graph), steps))
				tolerance := 1e-11
				if dt == tensor.Float32 {
					tolerance = 2e-4
					// Each rounded value has an error of up to half a unit in the last place. Four steps, each with Adam's division by
					// the gradient's size, amplify this error.
					if be.Promises().FactorBits > 0 {
						tolerance += 60 * halfUnit(be)
					}
				}
				for i := range want {
					if d := Distance(got[i], want[i]); !(d <= tolerance) {
						t.Errorf("value %d of %d: relative difference %.3g, want at most %.3g", i, len(want), d, tolerance)
					}
				}
			})
		}
	}
}

// Distance returns the relative difference |a - b| / |b| in the Euclidean norm, or +Inf if the lengths differ.
func Distance(a, b backend.Buffer) float64 {
	var diff, norm float64
	if a.Len() != b.Len() {
		return math.Inf(1)
	}
	for i := range a.F32 {
		diff += math.Pow(float64(a.F32[i])-float64(b.F32[i]), 2)
		norm += math.Pow(float64(b.F32[i]), 2)
	}
	for i := range a.F64 {
		diff += math.Pow(a.F64[i]-b.F64[i], 2)
		norm += math.Pow(b.F64[i], 2)
	}
	if diff == 0 {
		return 0
	}
	return math.Sqrt(diff / norm)
}
