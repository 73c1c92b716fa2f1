package device

import (
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"vapo/lib/backend"
	"vapo/lib/backend/backendtest"
	"vapo/lib/enginename"
	"vapo/lib/graphop"
)

// Convolutions and their gradients are correct even if a gradient needs cropping as well as padding: if the filter is
// smaller than the padding, or the stride leaves a remainder or is longer than the filter.
func TestStrangeConvolutions(t *testing.T) {
	be := goBackend(t)
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n *graphop.Node) backend.Buffer {
		v := make([]float64, n.Shape().TotalSize())
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		return backend.Buffer{F64: v}
	}
	for _, c := range []struct{ h, w, kh, kw, sh, sw, ph, pw int }{
		{5, 6, 1, 1, 1, 1, 1, 2}, {5, 6, 1, 1, 2, 3, 0, 0}, {7, 4, 2, 3, 3, 2, 0, 1}, {6, 6, 2, 1, 3, 4, 2, 3},
		{4, 4, 4, 4, 1, 1, 0, 0}, {3, 5, 3, 2, 5, 1, 1, 0}, {9, 8, 3, 3, 2, 2, 0, 0}, {2, 2, 3, 3, 1, 1, 2, 2},
	} {
		g := gorgonia.NewGraph()
		x, w := graphop.Input(g, tensor.Float64, "x", 2, 3, c.h, c.w), graphop.Input(g, tensor.Float64, "w", 4, 3, c.kh, c.kw)
		y := graphop.ConvStrided(x, w, c.sh, c.sw, c.ph, c.pw)
		d, err := graphop.Grad(graphop.Reshape(graphop.Sum(graphop.Mul(graphop.Square(y), y)), 1), x, w)
		if err != nil {
			t.Fatal(err)
		}
		graph := backend.Graph{Inputs: []*graphop.Node{x, w}, Outputs: []*graphop.Node{y, d[0], d[1]}}
		exe, err := be.Compile(graph)
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		in := []backend.Buffer{random(x), random(w)}
		got, want := []backend.Buffer{random(y), random(x), random(w)}, []backend.Buffer{random(y), random(x), random(w)}
		if err := exe.Run(in, got); err != nil {
			t.Fatal(err)
		}
		if err := backendtest.Interpret(graph).Run(in, want); err != nil {
			t.Fatal(err)
		}
		for i, what := range []string{"result", "input gradient", "filter gradient"} {
			if d := backendtest.Distance(got[i], want[i]); !(d < 1e-12) {
				t.Errorf("%+v: the %s differs by %.3g", c, what, d)
			}
		}
		write(t, graph, enginename.Float32)
	}
}

// The estimate counts the values that are alive at the same time.
func TestEstimate(t *testing.T) {
	g := gorgonia.NewGraph()
	x, w := graphop.Input(g, tensor.Float32, "x", 10, 4), graphop.Input(g, tensor.Float32, "w", 4, 100)
	a := graphop.Exp(graphop.MatMul(x, w, false, false)) // two arrays of 1000 elements are alive at once
	y := graphop.Sum(a)
	step := backend.Graph{Inputs: []*graphop.Node{x}, State: []backend.State{{In: w}}, Outputs: []*graphop.Node{y}}
	e := estimate(step, false)
	if want := (need{state: 4 * 400, batch: 4 * (40 + 2000), rows: 10}); e != want {
		t.Errorf("estimate %+v, want %+v", e, want)
	}
	if e, want := estimate(step, true), (need{state: 4 * 400, batch: 4*40 + 2*2000, rows: 10}); e != want {
		t.Errorf("estimate with bfloat16 activations %+v, want %+v", e, want)
	}
	for _, c := range []struct {
		total, have int64
		want        int
	}{
		{1600 + 10*800, 1600 + 10*400, 5}, // half the memory, half the batch
		{1600 + 10*800, 1600 + 7*800 + 10, 7},
		{1600 + 10*800, 1600, 0}, // not enough memory for the state
		{1600 + 10*800, 1600 + 100, 0},
		{1600 + 10*800, 1 << 40, 0}, // the batch fits, so the failure has another cause
	} {
		if got := e.fits(c.total, c.have); got != c.want {
			t.Errorf("%d of 10 rows fit in %d of the %d bytes needed, want %d", got, c.have, c.total, c.want)
		}
	}
}
