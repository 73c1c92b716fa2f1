package optim_test

import (
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/backend/tape"
	"vapo/lib/checkpoint"
	"vapo/lib/graphop"
	"vapo/lib/optim"
)

// update is a compiled optimiser step whose loss and gradients are fed by the test.
type update struct {
	exe    backend.Executable
	in     []backend.Buffer // loss, gradients, hyperparameters
	states []string
	c      optim.Config
	dt     tensor.Dtype
}

var shapes = [][]int{{3}, {1, 3}, {2, 2}, {1}}

func newUpdate(t *testing.T, c optim.Config, dt tensor.Dtype) *update {
	t.Helper()
	be := tape.Tape{}
	g := gorgonia.NewGraph()
	u := &update{c: c, dt: dt}
	loss := graphop.Input(g, dt, "loss", 1)
	inputs := []*graphop.Node{loss}
	var params, grads []*graphop.Node
	for i, s := range shapes {
		name := string(rune('a' + i))
		params = append(params, graphop.Input(g, dt, checkpoint.Param+name, s...))
		grads = append(grads, graphop.Input(g, dt, "grad/"+name, s...))
	}
	inputs = append(inputs, grads...)
	up, err := c.Build(loss, params, grads)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range inputs {
		u.in = append(u.in, u.buffer(n.Shape().TotalSize()))
	}
	for range up.Inputs {
		u.in = append(u.in, u.buffer(1))
	}
	for _, s := range up.State {
		u.states = append(u.states, s.In.Name())
	}
	u.exe, err = be.Compile(backend.Graph{Inputs: append(inputs, up.Inputs...), State: up.State,
		Outputs: []*graphop.Node{up.GradNorm, up.Applied, up.Loss}})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (u *update) buffer(n int) backend.Buffer {
	if u.dt == tensor.Float64 {
		return backend.Buffer{F64: make([]float64, n)}
	}
	return backend.F32(make([]float32, n))
}

func set(b backend.Buffer, i int, v float64) {
	if b.F64 != nil {
		b.F64[i] = v
	} else {
		b.F32[i] = float32(v)
	}
}

func get(b backend.Buffer, i int) float64 {
	if b.F64 != nil {
		return b.F64[i]
	}
	return float64(b.F32[i])
}

// run takes a step with the given loss and gradients.
func (u *update) run(t *testing.T, step int64, loss float64, grads [][]float64) (norm float64, applied bool) {
	t.Helper()
	norm, applied, _ = u.feed(t, u.c.Hyper(step), loss, grads)
	return norm, applied
}

func (u *update) feed(t *testing.T, h optim.Hyper, loss float64, grads [][]float64) (norm float64, applied bool,
	mean float64) {
	t.Helper()
	set(u.in[0], 0, loss)
	for i, g := range grads {
		for k, v := range g {
			set(u.in[1+i], k, v)
		}
	}
	values := u.c.Values(h, nil)
	if len(values) != len(u.in)-1-len(grads) {
		t.Fatalf("%d hyperparameters for %d inputs, want one for each", len(values), len(u.in)-1-len(grads))
	}
	for i, v := range values {
		set(u.in[1+len(grads)+i], 0, v)
	}
	out := []backend.Buffer{u.buffer(1), u.buffer(1), u.buffer(1)}
	if err := u.exe.Run(u.in, out); err != nil {
		t.Fatal(err)
	}
	return get(out[0], 0), get(out[1], 0) == 1, get(out[2], 0)
}

func (u *update) state(t *testing.T, name string, n int) backend.Buffer {
	t.Helper()
	b := u.buffer(n)
	if err := u.exe.Store(name, b); err != nil {
		t.Fatal(err)
	}
	return b
}

func size(s []int) int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

func gradients(step int) [][]float64 {
	var out [][]float64
	for i, s := range shapes {
		g := make([]float64, size(s))
		for k := range g {
			g[k] = 3 * math.Sin(float64(7*step+3*i+k))
		}
		out = append(out, g)
	}
	out[2][1] = 0 // one element whose gradient is always 0
	return out
}

// start sets weights and averages to fixed values.
func (u *update) start(t *testing.T) {
	t.Helper()
	for i, s := range shapes {
		v := u.buffer(size(s))
		for k := range size(s) {
			set(v, k, math.Cos(float64(5*i+k)))
		}
		for _, group := range weightGroups {
			if err := u.exe.Load(group+string(rune('a'+i)), v); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// all returns the state that is kept from step to step.
func (u *update) all(t *testing.T) (v []float64) {
	t.Helper()
	for _, group := range u.c.Groups() {
		for i, s := range shapes {
			b := u.state(t, group+string(rune('a'+i)), size(s))
			for k := range b.Len() {
				v = append(v, get(b, k))
			}
		}
	}
	return v
}

// weightGroups are the groups of config that start with the values of the weights.
var weightGroups = []string{checkpoint.Param, checkpoint.EMA, "ema.1/"}
