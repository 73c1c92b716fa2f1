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

// Values, gradients and second derivatives as PyTorch has them in float64 (testdata/golden.py).
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

		"maxpool 3 stride 2":             pool(graphop.MaxPool2D, graphop.Window2D{KH: 3, KW: 3, StrideH: 2, StrideW: 2}),
		"maxpool 3 stride 2 pad 1":       pool(graphop.MaxPool2D, graphop.Window2D{KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadH: 1, PadW: 1}),
		"maxpool 2x3 stride 1,2 pad 1,0": pool(graphop.MaxPool2D, graphop.Window2D{KH: 2, KW: 3, StrideH: 1, StrideW: 2, PadH: 1}),

		"avgpool 3 stride 1 pad 1 excluding":     pool(mean(false), graphop.Window2D{KH: 3, KW: 3, StrideH: 1, StrideW: 1, PadH: 1, PadW: 1}),
		"avgpool 3 stride 1 pad 1 including":     pool(mean(true), graphop.Window2D{KH: 3, KW: 3, StrideH: 1, StrideW: 1, PadH: 1, PadW: 1}),
		"avgpool 3x2 stride 2,1 pad 1 excluding": pool(mean(false), graphop.Window2D{KH: 3, KW: 2, StrideH: 2, StrideW: 1, PadH: 1, PadW: 1}),

		"conv 3x3 stride 2,1 pad 1": conv(2, 1, 1, 1),
		"conv 1x7 pad 0,3":          conv(1, 1, 0, 3),
		"conv 7x1 pad 3,0":          conv(1, 1, 3, 0),
		"conv 5x5 pad 2":            conv(1, 1, 2, 2),
	}
	if len(cases) != len(builders) {
		t.Errorf("%d cases in the file, %d here", len(cases), len(builders))
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

// gradient is the gradient in wrt of the sum of all products of a value's element and its weight.
func gradient(t *testing.T, values []*graphop.Node, weights [][]float64, wrt []*graphop.Node) []*graphop.Node {
	t.Helper()
	var sum *graphop.Node
	for i, v := range values {
		s := graphop.Reshape(graphop.Sum(graphop.Mul(v, graphop.Table(v, weights[i], v.Shape()...))), 1)
		if sum == nil {
			sum = s
		} else {
			sum = graphop.Add(sum, s)
		}
	}
	d, err := graphop.Grad(sum, wrt...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// run computes a graph on the plainest engine.
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

// Of equal maxima the first, row by row, gets the derivative, and padding never does: not even where all is negative.
func TestMaxPoolTiesAndPadding(t *testing.T) {
	for _, c := range []struct {
		name     string
		h, w     int
		window   graphop.Window2D
		x        []float64
		y, taken []float64 // the maxima, and how many windows take each element
	}{
		{"all equal", 4, 4, graphop.Window2D{KH: 2, KW: 2, StrideH: 2, StrideW: 2},
			[]float64{5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5}, []float64{5, 5, 5, 5},
			[]float64{1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0}},
		{"a row before a column", 2, 2, graphop.Window2D{KH: 2, KW: 2, StrideH: 1, StrideW: 1},
			[]float64{0, 3, 3, 1}, []float64{3}, []float64{0, 1, 0, 0}},
		{"negative beside padding", 2, 2, graphop.Window2D{KH: 2, KW: 2, StrideH: 2, StrideW: 2, PadH: 1, PadW: 1},
			[]float64{-1, -2, -3, -4}, []float64{-1, -2, -3, -4}, []float64{1, 1, 1, 1}},
		{"overlapping windows", 1, 5, graphop.Window2D{KH: 1, KW: 3, StrideH: 1, StrideW: 1, PadW: 1},
			[]float64{1, 2, 9, 9, 1}, []float64{2, 9, 9, 9, 9}, []float64{0, 1, 3, 1, 0}},
		{"minus infinity", 1, 3, graphop.Window2D{KH: 1, KW: 3, StrideH: 1, StrideW: 1, PadW: 1},
			[]float64{math.Inf(-1), math.Inf(-1), math.Inf(-1)}, []float64{math.Inf(-1), math.Inf(-1), math.Inf(-1)}, []float64{2, 1, 0}},
	} {
		for _, dt := range []tensor.Dtype{tensor.Float64, tensor.Float32} {
			x := graphop.Input(gorgonia.NewGraph(), dt, "x", 1, 1, c.h, c.w)
			y := graphop.MaxPool2D(x, c.window)
			d, err := graphop.Grad(y, x)
			if err != nil {
				t.Fatal(err)
			}
			got := run(t, backend.Graph{Inputs: []*graphop.Node{x}, Outputs: []*graphop.Node{y, d[0]}}, [][]float64{c.x})
			if !slices.Equal(got[0], c.y) || !slices.Equal(got[1], c.taken) {
				t.Errorf("%s, %v: maxima %v, taken %v; want %v and %v", c.name, dt, got[0], got[1], c.y, c.taken)
			}
		}
	}
}

// A constant image has a constant mean where padding does not count, and a smaller one at the edges where it does.
func TestMeanOfConstantImage(t *testing.T) {
	w := graphop.Window2D{KH: 3, KW: 3, StrideH: 1, StrideW: 1, PadH: 1, PadW: 1}
	x := graphop.Input(gorgonia.NewGraph(), tensor.Float64, "x", 1, 1, 3, 3)
	got := run(t, backend.Graph{Inputs: []*graphop.Node{x}, Outputs: []*graphop.Node{graphop.AvgPool2D(x, w, false), graphop.AvgPool2D(x, w, true)}},
		[][]float64{{9, 9, 9, 9, 9, 9, 9, 9, 9}})
	for k, want := range [][]float64{{9, 9, 9, 9, 9, 9, 9, 9, 9}, {4, 6, 4, 6, 9, 6, 4, 6, 4}} {
		for i, w := range want {
			if math.Abs(got[k][i]-w) > 1e-14 {
				t.Errorf("means %v, want %v", got[k], want)
				break
			}
		}
	}
}

// Whole tiles: the two kinds of average pooling are one.
func TestMeanOfTiles(t *testing.T) {
	x := graphop.Input(gorgonia.NewGraph(), tensor.Float64, "x", 2, 3, 4, 6)
	v := make([]float64, 2*3*4*6)
	for i := range v {
		v[i] = math.Sin(float64(i))
	}
	got := run(t, backend.Graph{Inputs: []*graphop.Node{x}, Outputs: []*graphop.Node{
		graphop.AvgPool(x, 2), graphop.AvgPool2D(x, graphop.Window2D{KH: 2, KW: 2, StrideH: 2, StrideW: 2}, false),
	}}, [][]float64{v})
	for i := range got[0] {
		if math.Abs(got[0][i]-got[1][i]) > 1e-15 {
			t.Fatalf("tile %d has the means %v and %v", i, got[0][i], got[1][i])
		}
	}
}

// Operations that differ in an attribute print and hash differently and are different nodes; equal ones are one node.
func TestOperationsAreToldApart(t *testing.T) {
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
			{3, 3, 1, 1, 1, 1}, {4, 3, 1, 1, 1, 1}, {3, 4, 1, 1, 1, 1}, {3, 3, 2, 1, 1, 1}, {3, 3, 1, 2, 1, 1}, {3, 3, 1, 1, 0, 1}, {3, 3, 1, 1, 1, 0},
		} {
			for _, y := range []*graphop.Node{graphop.WindowSum(x, v), graphop.MaxPool2D(x, v)} {
				d, err := graphop.Grad(graphop.Square(y), x)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, y, d[0])
			}
		}
		return out
	}
	first, again := build(), build()
	names, hashes := map[string]bool{}, map[uint32]bool{}
	for i, n := range first {
		if n != again[i] {
			t.Errorf("%v of %v made twice is two nodes", n.Op(), n.Shape())
		}
		names[fmt.Sprint(n.Op(), n.Shape())] = true
		hashes[n.Op().Hashcode()] = true
	}
	if len(names) != len(first) || len(hashes) != len(first) {
		t.Errorf("%d different operations have %d names and %d hashes: %v", len(first), len(names), len(hashes), names)
	}
}
