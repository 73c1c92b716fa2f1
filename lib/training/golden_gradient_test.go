package training

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/graphop"
	"vapo/lib/homotopy"
	"vapo/lib/layer"
	"vapo/lib/optim"
)

// golden1 is the graph of the first step of a golden case. Its outputs include the intermediate values that Step does
// not return.
type golden1 struct {
	params []layer.Param
	graph  backend.Graph
}

// first builds the graph of the first step. Its outputs are the loss, grad Psi at the points of the step, the gradient
// of each parameter, and the next value of each parameter.
func (g golden) first(dt tensor.Dtype) (golden1, error) {
	c := g.Config
	b := &layer.Builder{Graph: gorgonia.NewGraph(), Dtype: dt}
	var in homotopy.Inputs
	var label *graphop.Node
	var inputs []*graphop.Node
	err := graphop.Build(func() {
		input := func(name string, shape ...int) *graphop.Node {
			n := graphop.Input(b.Graph, dt, name, shape...)
			inputs = append(inputs, n)
			return n
		}
		shape := append([]int{g.Batch}, c.Shape...)
		in.X, in.Noise = input("x", shape...), input("noise", shape...)
		for k, n := range []**graphop.Node{&in.Condition, &in.Mu, &in.Sigma, &in.DMu, &in.DSigma, &in.Weight} {
			*n = input(fmt.Sprint("column ", k), g.Batch, 1)
		}
		if c.Classes > 0 {
			label = input("label", g.Batch, c.Classes)
		}
		b.Key = input("key", 8)
	})
	if err != nil {
		return golden1{}, err
	}
	var at *graphop.Node
	if err := graphop.Build(func() { at = in.At() }); err != nil {
		return golden1{}, err
	}
	psi, field, err := c.Evaluate(b, at, in.Condition, label)
	if err != nil {
		return golden1{}, err
	}
	terms, err := homotopy.Loss(g.Objective, in, psi, field)
	if err != nil {
		return golden1{}, err
	}
	grads, err := graphop.Grad(terms.Loss, b.Nodes()...)
	if err != nil {
		return golden1{}, err
	}
	u, err := g.whole().Build(terms.Loss, b.Nodes(), grads)
	if err != nil {
		return golden1{}, err
	}
	out := append([]*graphop.Node{terms.Loss, field}, grads...)
	for i := 0; i < len(u.State); i += len(g.Optim.Groups()) { // parameter, moments, averages
		out = append(out, u.State[i].Out)
	}
	return golden1{b.Params, backend.Graph{Inputs: append(inputs, u.Inputs...), State: u.State, Outputs: out}}, nil
}

// whole returns the optimiser without micro-batches, as PyTorch computed the steps.
func (g golden) whole() optim.Config {
	c := g.Optim
	c.Accumulate = 1
	return c
}

// inputs returns the values of the first step's batch, in float64.
func (g golden) inputs(path homotopy.Schedule) [][]float64 {
	d := len(g.X) / g.Batch
	x, noise := make([]float64, g.Batch*d), make([]float64, g.Batch*d)
	for i := range x {
		x[i], noise[i] = float64(wave(50, i)), 1.5*float64(wave(60, i))
	}
	columns := make([][]float64, 6)
	for i, t := range g.Times {
		p, rate := path.At(t), path.Rate(t)
		for k, v := range []float64{path.Condition(t), p.Mu, p.Sigma, rate * p.DMu, rate * p.DSigma, g.Weight[0][i]} {
			columns[k] = append(columns[k], v)
		}
	}
	key := graphop.PhiloxKey(g.Seed, 0)
	all := append([][]float64{x, noise}, columns...)
	if g.Config.Classes > 0 {
		all = append(all, g.onehot())
	}
	all = append(all, key[:])
	for _, v := range g.whole().Values(g.Optim.Hyper(0), nil) {
		all = append(all, []float64{v})
	}
	return all
}

func buffer(dt tensor.Dtype, v []float64) backend.Buffer {
	if dt == tensor.Float64 {
		return backend.Buffer{F64: v}
	}
	narrow := make([]float32, len(v))
	for i, x := range v {
		narrow[i] = float32(x)
	}
	return backend.F32(narrow)
}

func values(b backend.Buffer) []float64 {
	if b.F64 != nil {
		return b.F64
	}
	wide := make([]float64, len(b.F32))
	for i, x := range b.F32 {
		wide[i] = float64(x)
	}
	return wide
}

// probe computes the same summary of a tensor as probe in golden.py.
func probe(k int, v []float64) (p [7]float64) {
	for i, x := range v {
		p[0] += x
		p[1] += x * float64(wave(k, i))
		p[2] += x * x
	}
	p[2] = math.Sqrt(p[2])
	for i := range 4 {
		p[3+i] = v[i*(len(v)-1)/3]
	}
	return p
}

// probesNear reports whether two summaries of a tensor of n elements agree, given that the norm of the tensor's error
// may be at most tolerance times scale.
func probesNear(got, want [7]float64, n int, scale, tolerance float64) bool {
	for i := range got {
		s := scale
		if i < 2 { // sums over n elements
			s *= math.Sqrt(float64(n))
		}
		if !near(got[i], want[i], s, tolerance) {
			return false
		}
	}
	return true
}

// The loss, grad_x Phi, the gradient of every parameter through grad_x Phi, and the parameters after a step of Adam
// agree with PyTorch's double backward: in float64 up to rounding, in float32 up to the rounding errors of a whole
// step.
func TestGoldenGradients(t *testing.T) {
	for _, be := range engines(t) {
		for _, g := range goldens(t) {
			for _, c := range []struct {
				dt                  tensor.Dtype
				tolerance, gradient float64
			}{{tensor.Float64, 1e-10, 1e-10}, {tensor.Float32, 1e-5, 5e-5}} {
				t.Run(fmt.Sprintf("%s/%v/%v", be.Class(), g, c.dt),
					func(t *testing.T) { goldenGradients(t, be, g, c.dt, c.tolerance, c.gradient) })
			}
		}
	}
}

func goldenGradients(t *testing.T, be backend.Backend, g golden, dt tensor.Dtype, tolerance, gradient float64) {
	s, err := g.first(dt)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := be.Compile(s.graph)
	if err != nil {
		t.Fatal(err)
	}
	initial := weights(s.params)
	for _, p := range s.params {
		for _, group := range g.Optim.Groups() {
			v := values(backend.F32(initial[p.Name]))
			if group == checkpoint.AdamM || group == checkpoint.AdamV {
				clear(v)
			}
			if err := exe.Load(group+p.Name, buffer(dt, v)); err != nil {
				t.Fatal(err)
			}
		}
	}
	path, err := g.Config.Path()
	if err != nil {
		t.Fatal(err)
	}
	var in, out []backend.Buffer
	for _, v := range g.inputs(path) {
		in = append(in, buffer(dt, v))
	}
	for _, n := range s.graph.Outputs {
		out = append(out, buffer(dt, make([]float64, n.Shape().TotalSize())))
	}
	if err := exe.Run(in, out); err != nil {
		t.Fatal(err)
	}

	if loss := values(out[0])[0]; !near(loss, g.Loss[0], max(0.1, math.Abs(g.Loss[0])), tolerance) {
		t.Errorf("loss %v, want %v", loss, g.Loss[0])
	}
	scale := 0.0
	for _, v := range g.TrainGrad {
		scale = max(scale, math.Abs(v))
	}
	worst := 0.0
	for i, v := range values(out[1]) {
		worst = max(worst, math.Abs(v-g.TrainGrad[i])/scale)
	}
	if !(worst <= tolerance) {
		t.Errorf("grad Phi is off by %.1e of its largest element, want at most %.1e", worst, tolerance)
	}
	grads, updated := out[2:2+len(s.params)], out[2+len(s.params):]
	worst = 0
	for k, p := range s.params {
		n := layer.Count(s.params[k : k+1])
		want := g.ParamGrads[k]
		// Some gradients cancel to about 0, such as those of biases before a normalisation. Compare these with the size
		// of the whole gradient.
		floor := want[2] + 1e-4*g.GradNorm[0]
		if got := probe(k, values(grads[k])); !probesNear(got, want, n, floor, gradient) {
			t.Errorf("gradient of %s: %v, want %v", p.Name, got, want)
		} else {
			worst = max(worst, math.Abs(got[2]-want[2])/floor)
		}
		want = g.Updated[k]
		if got := probe(k, values(updated[k])); !probesNear(got, want, n, max(want[2], 0.1), tolerance) {
			t.Errorf("%s after a step of Adam: %v, want %v", p.Name, got, want)
		}
	}
	t.Logf("norms of gradients within %.1e", worst)
}

// The cases cover all kinds of networks, with and without labels, all objectives and schedules, and the clipping of
// elements.
func TestGoldenCases(t *testing.T) {
	kinds, labelled, losses, clipping := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	for _, g := range goldens(t) {
		kinds[g.Config.Kind]++
		if g.Config.Classes > 0 {
			labelled[g.Config.Kind]++
		}
		losses[g.Objective]++
		losses[g.Config.Schedule]++
		losses[g.Objective+" of a "+g.Config.Kind]++
		for _, n := range g.Clipped {
			clipping[g.Config.Kind] += n
		}
		if err := g.Config.Check(); err != nil {
			t.Error(err)
		}
	}
	if clipping["mlp"] == 0 || clipping["unet"] == 0 {
		t.Errorf("elements clipped by kind: %v, want some of mlp and unet", clipping)
	}
	if kinds["mlp"] < 2 || kinds["wrn"] < 3 || kinds["unet"] < 4 {
		t.Errorf("golden cases by kind: %v, want at least 2 of mlp, 3 of wrn and 4 of unet", kinds)
	}
	if labelled["mlp"] < 1 || labelled["wrn"] < 2 || labelled["unet"] < 1 {
		t.Errorf("golden cases with labels by kind: %v, want at least 1 of mlp, 2 of wrn and 1 of unet", labelled)
	}
	for _, name := range append(slices.Concat(homotopy.Objectives(), homotopy.Names()), "hybrid of a mlp",
		"hybrid of a unet") {
		if losses[name] == 0 {
			t.Errorf("no golden case of %s; numbers of cases: %v", name, losses)
		}
	}
}
