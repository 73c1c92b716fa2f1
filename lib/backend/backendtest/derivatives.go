package backendtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"vapo/lib/backend"
	"vapo/lib/graphop"
)

// Derivatives checks the first, second and third derivatives of every case in float64: the k-th scalar is a random
// projection of the gradient of the one before, and central differences of it must give the next gradient.
func Derivatives(t *testing.T, be backend.Backend) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) { derivatives(t, be, c) })
	}
}

func derivatives(t *testing.T, be backend.Backend, c Case) {
	order := c.Order
	if order == 0 {
		order = 3
	}
	rng := rand.New(rand.NewPCG(7, uint64(len(c.Name))))
	g := gorgonia.NewGraph()
	var in []*graphop.Node
	for i, s := range c.Shapes {
		in = append(in, graphop.Input(g, tensor.Float64, fmt.Sprintf("x%d", i), s...))
	}
	project := func(ns []*graphop.Node) *graphop.Node {
		var sum *graphop.Node
		for _, n := range ns {
			w := make([]float64, n.Shape().TotalSize())
			for i := range w {
				w[i] = rng.NormFloat64()
			}
			p := graphop.Reshape(graphop.Sum(graphop.Mul(n, graphop.Table(n, w, n.Shape()...))), 1)
			if sum == nil {
				sum = p
			} else {
				sum = graphop.Add(sum, p)
			}
		}
		return sum
	}
	// scalars[k] is differentiated to grads[k].
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
	graph := backend.Graph{Inputs: in, Outputs: append([]*graphop.Node(nil), scalars...)}
	for _, d := range grads {
		for _, n := range d {
			AssertFamily(t, n)
		}
		graph.Outputs = append(graph.Outputs, d...)
	}
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
					t.Errorf("derivative %d in input %d element %d: got %v, central difference %v", k+1, i, j, got, want)
					return
				}
			}
		}
	}
}

// AssertFamily fails the test if a node below n is not an input or an operation of graphop.
func AssertFamily(t *testing.T, n *graphop.Node) {
	t.Helper()
	seen := map[*graphop.Node]bool{}
	var walk func(n *graphop.Node)
	walk = func(n *graphop.Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		if n.Op() != nil && graphop.Of(n) == nil {
			t.Errorf("node %v holds %T, which is not an operation of the family", n, n.Op())
		}
		for _, c := range graphop.Children(n) {
			walk(c)
		}
	}
	walk(n)
}
