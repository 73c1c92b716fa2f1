package graphop_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/backend/backendtest"
	"vapo/lib/graphop"
)

// Values, gradients and second derivatives agree with PyTorch in float64 (testdata/golden.py).
func TestGolden(t *testing.T) {
	text, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name                string
		Shapes              [][]int
		X                   [][]float64
		Shape               []int
		Y, Seed             []float64
		First, Turn, Second [][]float64
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	type nodes = []*graphop.Node
	pool := func(f func(x *graphop.Node, w graphop.Window2D) *graphop.Node, w graphop.Window2D) func(nodes) *graphop.Node {
		return func(in nodes) *graphop.Node { return graphop.Square(f(in[0], w)) }
	}
	mean := func(count bool) func(*graphop.Node, graphop.Window2D) *graphop.Node {
		return func(x *graphop.Node, w graphop.Window2D) *graphop.Node { return graphop.AvgPool2D(x, w, count) }
	}
	conv := func(strideH, strideW, padH, padW int) func(nodes) *graphop.Node {
		return func(in nodes) *graphop.Node {
			return graphop.Square(graphop.ConvStrided(in[0], in[1], strideH, strideW, padH, padW))
		}
	}
	builders := map[string]func(nodes) *graphop.Node{
		"softmax": func(in nodes) *graphop.Node { return graphop.Softmax(in[0]) },

		"maxpool 3 stride 2":             pool(graphop.MaxPool2D, graphop.Window2D{3, 3, 2, 2, 0, 0}),
		"maxpool 3 stride 2 pad 1":       pool(graphop.MaxPool2D, graphop.Window2D{3, 3, 2, 2, 1, 1}),
		"maxpool 2x3 stride 1,2 pad 1,0": pool(graphop.MaxPool2D, graphop.Window2D{2, 3, 1, 2, 1, 0}),

		"avgpool 3 stride 1 pad 1 excluding":     pool(mean(false), graphop.Window2D{3, 3, 1, 1, 1, 1}),
		"avgpool 3 stride 1 pad 1 including":     pool(mean(true), graphop.Window2D{3, 3, 1, 1, 1, 1}),
		"avgpool 3x2 stride 2,1 pad 1 excluding": pool(mean(false), graphop.Window2D{3, 2, 2, 1, 1, 1}),

		"conv 3x3 stride 2,1 pad 1": conv(2, 1, 1, 1),
		"conv 1x7 pad 0,3":          conv(1, 1, 0, 3),
		"conv 7x1 pad 3,0":          conv(1, 1, 3, 0),
		"conv 5x5 pad 2":            conv(1, 1, 2, 2),
	}
	if len(cases) != len(builders) {
		t.Errorf("the file has %d cases, but the test has %d", len(cases), len(builders))
	}
	for _, c := range cases {
		for _, dt := range []tensor.Dtype{tensor.Float64, tensor.Float32} {
			t.Run(fmt.Sprintf("%s %v", c.Name, dt), func(t *testing.T) {
				g := gorgonia.NewGraph()
				var in nodes
				for i, s := range c.Shapes {
					in = append(in, graphop.Input(g, dt, fmt.Sprintf("x%d", i), s...))
				}
				y := builders[c.Name](in)
				if !slices.Equal([]int(y.Shape()), c.Shape) {
					t.Fatalf("the shape is %v, want %v", y.Shape(), c.Shape)
				}
				first := gradient(t, []*graphop.Node{y}, [][]float64{c.Seed}, in)
				second := gradient(t, first, c.Turn, in)
				outputs := append(append(nodes{y}, first...), second...)
				want := append(append([][]float64{c.Y}, c.First...), c.Second...)
				for i, got := range run(t, backend.Graph{Inputs: in, Outputs: outputs}, c.X) {
					tolerance := 1e-12
					if dt == tensor.Float32 {
						tolerance = 5e-6
					}
					largest := 1.0
					for _, w := range want[i] {
						largest = max(largest, math.Abs(w))
					}
					for k, w := range want[i] {
						if !(math.Abs(got[k]-w) <= tolerance*largest) {
							t.Fatalf("output %d (value, gradients, second derivatives): element %d is %v, want %v", i, k, got[k], w)
						}
					}
				}
			})
		}
	}
}

// gradient multiplies each value by its weights, sums all products and returns the gradients of the sum with respect to
// wrt.
func gradient(t *testing.T, values []*graphop.Node, weights [][]float64, wrt []*graphop.Node) []*graphop.Node {
	t.Helper()
	sum := graphop.Fill(values[0], 0, 1)
	for i, v := range values {
		weighted := graphop.Mul(v, graphop.Table(v, weights[i], v.Shape()...))
		sum = graphop.Add(sum, graphop.Reshape(graphop.Sum(weighted), 1))
	}
	return grad(t, sum, wrt...)
}

// run computes a graph with the reference interpreter.
func run(t *testing.T, g backend.Graph, feed [][]float64) [][]float64 {
	t.Helper()
	double := g.Inputs[0].Dtype() == tensor.Float64
	var in, out []backend.Buffer
	for _, v := range feed {
		b := backend.Buffer{F64: v}
		if !double {
			b = backend.F32(make([]float32, len(v)))
			for i, x := range v {
				b.F32[i] = float32(x)
			}
		}
		in = append(in, b)
	}
	for _, n := range g.Outputs {
		if size := n.Shape().TotalSize(); double {
			out = append(out, backend.Buffer{F64: make([]float64, size)})
		} else {
			out = append(out, backend.F32(make([]float32, size)))
		}
	}
	if err := backendtest.Interpret(g).Run(in, out); err != nil {
		t.Fatal(err)
	}
	var values [][]float64
	for _, b := range out {
		v := b.F64
		for _, x := range b.F32 {
			v = append(v, float64(x))
		}
		values = append(values, v)
	}
	return values
}

// The first of equal maxima, in row-major order, gets the derivative. Padding never gets it, even if all elements are
// negative.
func TestMaxPoolTiesAndPadding(t *testing.T) {
	for _, c := range []struct {
		name     string
		h, w     int
		window   graphop.Window2D
		x        []float64
		y, taken []float64 // the maxima, and how many windows take each element
	}{
		{"all equal", 4, 4, graphop.Window2D{2, 2, 2, 2, 0, 0},
			[]float64{5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5}, []float64{5, 5, 5, 5},
			[]float64{1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0}},
		{"a row before a column", 2, 2, graphop.Window2D{2, 2, 1, 1, 0, 0},
			[]float64{0, 3, 3, 1}, []float64{3}, []float64{0, 1, 0, 0}},
		{"negative next to padding", 2, 2, graphop.Window2D{2, 2, 2, 2, 1, 1},
			[]float64{-1, -2, -3, -4}, []float64{-1, -2, -3, -4}, []float64{1, 1, 1, 1}},
		{"overlapping windows", 1, 5, graphop.Window2D{1, 3, 1, 1, 0, 1},
			[]float64{1, 2, 9, 9, 1}, []float64{2, 9, 9, 9, 9}, []float64{0, 1, 3, 1, 0}},
		{"minus infinity", 1, 3, graphop.Window2D{1, 3, 1, 1, 0, 1},
			slices.Repeat([]float64{math.Inf(-1)}, 3), slices.Repeat([]float64{math.Inf(-1)}, 3), []float64{2, 1, 0}},
	} {
		for _, dt := range []tensor.Dtype{tensor.Float64, tensor.Float32} {
			x := graphop.Input(gorgonia.NewGraph(), dt, "x", 1, 1, c.h, c.w)
			y := graphop.MaxPool2D(x, c.window)
			graph := backend.Graph{Inputs: []*graphop.Node{x}, Outputs: []*graphop.Node{y, grad(t, y, x)[0]}}
			got := run(t, graph, [][]float64{c.x})
			if !slices.Equal(got[0], c.y) || !slices.Equal(got[1], c.taken) {
				t.Errorf("%s, %v: maxima %v, taken %v; want %v and %v", c.name, dt, got[0], got[1], c.y, c.taken)
			}
		}
	}
}

// AvgPool2D of a constant image is constant if padding does not count, and smaller at the edges if padding counts.
func TestMeanOfConstantImage(t *testing.T) {
	w := graphop.Window2D{3, 3, 1, 1, 1, 1}
	x := graphop.Input(gorgonia.NewGraph(), tensor.Float64, "x", 1, 1, 3, 3)
	means := []*graphop.Node{graphop.AvgPool2D(x, w, false), graphop.AvgPool2D(x, w, true)}
	got := run(t, backend.Graph{Inputs: []*graphop.Node{x}, Outputs: means}, [][]float64{{9, 9, 9, 9, 9, 9, 9, 9, 9}})
	for k, want := range [][]float64{{9, 9, 9, 9, 9, 9, 9, 9, 9}, {4, 6, 4, 6, 9, 6, 4, 6, 4}} {
		for i, w := range want {
			if math.Abs(got[k][i]-w) > 1e-14 {
				t.Errorf("means %v, want %v", got[k], want)
				break
			}
		}
	}
}

// On tiles without overlap AvgPool and AvgPool2D agree.
func TestMeanOfTiles(t *testing.T) {
	x := graphop.Input(gorgonia.NewGraph(), tensor.Float64, "x", 2, 3, 4, 6)
	v := make([]float64, 2*3*4*6)
	for i := range v {
		v[i] = math.Sin(float64(i))
	}
	got := run(t, backend.Graph{Inputs: []*graphop.Node{x}, Outputs: []*graphop.Node{
		graphop.AvgPool(x, 2), graphop.AvgPool2D(x, graphop.Window2D{2, 2, 2, 2, 0, 0}, false),
	}}, [][]float64{v})
	for i := range got[0] {
		if math.Abs(got[0][i]-got[1][i]) > 1e-15 {
			t.Fatalf("the two means of tile %d are %v and %v", i, got[0][i], got[1][i])
		}
	}
}

// Operations that differ in an attribute have different names, hashes and nodes; equal operations share one node.
func TestNodeIdentity(t *testing.T) {
	g := gorgonia.NewGraph()
	x := graphop.Input(g, tensor.Float32, "x", 2, 2, 6, 6)
	w := graphop.Input(g, tensor.Float32, "w", 2, 2, 3, 3)
	key := graphop.Input(g, tensor.Float32, "key", 8)
	build := func() []*graphop.Node {
		out := []*graphop.Node{
			graphop.Softmax(x), graphop.Exp(x), graphop.Uniform(key, "a", 2, 2, 6, 6), graphop.Uniform(key, "b", 2, 2, 6, 6),
			graphop.Uniform(key, "a", 4, 6, 6), graphop.ConvStrided(x, w, 1, 1, 1, 1), graphop.ConvStrided(x, w, 2, 1, 1, 1),
			graphop.ConvStrided(x, w, 1, 2, 1, 1), graphop.ConvStrided(x, w, 1, 1, 0, 1), graphop.ConvStrided(x, w, 1, 1, 1, 0),
		}
		for _, v := range []graphop.Window2D{
			{3, 3, 1, 1, 1, 1}, {4, 3, 1, 1, 1, 1}, {3, 4, 1, 1, 1, 1}, {3, 3, 2, 1, 1, 1}, {3, 3, 1, 2, 1, 1},
			{3, 3, 1, 1, 0, 1}, {3, 3, 1, 1, 1, 0},
		} {
			for _, y := range []*graphop.Node{graphop.WindowSum(x, v), graphop.MaxPool2D(x, v)} {
				out = append(out, y, grad(t, graphop.Square(y), x)[0])
			}
		}
		return out
	}
	first, again := build(), build()
	names, hashes := map[string]bool{}, map[uint32]bool{}
	for i, n := range first {
		if n != again[i] {
			t.Errorf("%v of %v, constructed twice, gives two nodes", n.Op(), n.Shape())
		}
		names[fmt.Sprint(n.Op(), n.Shape())] = true
		hashes[n.Op().Hashcode()] = true
	}
	if len(names) != len(first) || len(hashes) != len(first) {
		t.Errorf("%d different operations have %d names and %d hashes: %v", len(first), len(names), len(hashes), names)
	}
}
