package backendtest

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"vapo/lib/backend"
	"vapo/lib/graphop"
)

// checkDerivatives checks the derivatives of every case in float64, up to order 3 or the Order of the case. The first
// scalar is a random projection of the expression. Each further scalar is a random projection of the previous scalar's
// gradient. The gradient of each scalar must agree with central differences of that scalar.
func checkDerivatives(t *testing.T, be backend.Backend) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) { derivatives(t, be, c) })
	}
}

func derivatives(t *testing.T, be backend.Backend, c Case) {
	order := cmp.Or(c.Order, 3)
	rng := rand.New(rand.NewPCG(7, uint64(len(c.Name))))
	g := gorgonia.NewGraph()
	var in []*graphop.Node
	for i, s := range c.Shapes {
		in = append(in, graphop.Input(g, tensor.Float64, fmt.Sprintf("x%d", i), s...))
	}
	project := func(ns []*graphop.Node) *graphop.Node {
		sum := graphop.Fill(ns[0], 0, 1)
		for _, n := range ns {
			w := make([]float64, n.Shape().TotalSize())
			for i := range w {
				w[i] = rng.NormFloat64()
			}
			projected := graphop.Sum(graphop.Mul(n, graphop.Table(n, w, n.Shape()...)))
			sum = graphop.Add(sum, graphop.Reshape(projected, 1))
		}
		return sum
	}
	// grads[k] is the gradient of scalars[k].
	var scalars []*graphop.Node
	var grads [][]*graphop.Node
	err := graphop.Build(func() {
		s := project([]*graphop.Node{c.Build(in)})
		for range order {
			d, err := graphop.Grad(s, in...)
			if err != nil {
				t.Fatal(err)
			}
			scalars, grads = append(scalars, s), append(grads, d)
			s = project(d)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	graph := backend.Graph{Inputs: in, Outputs: slices.Concat(append([][]*graphop.Node{scalars}, grads...)...)}
	exe, err := be.Compile(graph)
	if err != nil {
		t.Fatal(err)
	}
	x := c.draw(rng)
	run := func() (s []float64, d [][][]float64) {
		t.Helper()
		var out []backend.Buffer
		for range scalars {
			out = append(out, backend.Buffer{F64: make([]float64, 1)})
		}
		for range grads {
			for i := range in {
				out = append(out, backend.Buffer{F64: make([]float64, len(x[i]))})
			}
		}
		var feed []backend.Buffer
		for _, v := range x {
			feed = append(feed, backend.Buffer{F64: v})
		}
		if err := exe.Run(feed, out); err != nil {
			t.Fatal(err)
		}
		for k := range scalars {
			s = append(s, out[k].F64[0])
		}
		at := len(scalars)
		for range grads {
			var row [][]float64
			for range in {
				row = append(row, out[at].F64)
				at++
			}
			d = append(d, row)
		}
		return s, d
	}
	_, analytic := run()
	const h = 1e-5
	for i := range x {
		for j := range x[i] {
			old := x[i][j]
			x[i][j] = old + h
			up, _ := run()
			x[i][j] = old - h
			down, _ := run()
			x[i][j] = old
			for k := range scalars {
				want := (up[k] - down[k]) / (2 * h)
				got := analytic[k][i][j]
				scale := math.Max(1, math.Max(math.Abs(up[k]), math.Abs(want)))
				if !(math.Abs(got-want) <= 2e-6*scale) {
					t.Errorf("derivative %d, input %d, element %d: got %v, central difference %v", k+1, i, j, got, want)
					return
				}
			}
		}
	}
}
