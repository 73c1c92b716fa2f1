// Package backendtest is the conformance suite that every engine runs. It compares the derivatives of each operation,
// up to the third, with numerical differentiation, and float32 results with float64 results. It compares random draws
// and whole training steps with an interpreter that computes node by node. It also checks that rows of a batch are
// independent, that state changes correctly, that inputs can be uploaded in advance, and that invalid graphs and
// buffers cause errors.
package backendtest

import (
	"math/rand/v2"

	"gorgonia.org/tensor"

	"vapo/lib/graphop"
)

// Case is an expression to test, with the shapes of its inputs.
type Case struct {
	Name   string
	Shapes [][]int
	// Input values are uniform between Low and High. If both are 0, input values are standard normal.
	Low, High float64
	// Order is the order of the highest derivative to check numerically; 0 means 3. Expressions that are not smooth need a
	// lower order.
	Order int
	Build func(in []node) node
}

type (
	node  = *graphop.Node
	nodes = []node
)

// Cases returns test cases for every operation of package graphop.
func Cases() []Case {
	unary := func(f func(node) node) func(nodes) node { return func(in nodes) node { return f(in[0]) } }
	binary := func(f func(a, b node) node) func(nodes) node { return func(in nodes) node { return f(in[0], in[1]) } }
	one := func(name string, shape []int, f func(x node) node) Case {
		return Case{Name: name, Shapes: [][]int{shape}, Build: unary(f)}
	}
	v := [][]int{{3, 5}}
	same := [][]int{{3, 5}, {3, 5}}
	row := [][]int{{2, 3, 4}, {1, 3, 1}}
	both := [][]int{{2, 1, 4}, {1, 3, 1}}
	cases := []Case{
		{Name: "affine", Shapes: v, Build: unary(func(x node) node { return graphop.Affine(graphop.Square(x), -1.5, 0.25) })},
		{Name: "add", Shapes: same, Build: binary(func(a, b node) node { return graphop.Square(graphop.Add(a, b)) })},
		{Name: "add broadcast", Shapes: row, Build: binary(func(a, b node) node {
			return graphop.Square(graphop.Add(a, b))
		})},
		{Name: "sub", Shapes: row, Build: binary(func(a, b node) node { return graphop.Square(graphop.Sub(b, a)) })},
		{Name: "mul", Shapes: same, Build: binary(graphop.Mul)},
		{Name: "mul broadcast both", Shapes: both, Build: binary(func(a, b node) node {
			return graphop.Square(graphop.Mul(a, b))
		})},
		{Name: "div", Shapes: row, Low: 0.7, High: 2, Build: binary(graphop.Div)},
		{Name: "square", Shapes: v, Build: unary(func(x node) node { return graphop.Mul(graphop.Square(x), x) })},
		{Name: "max", Shapes: same, Order: 1, Build: binary(graphop.Max)},
		{Name: "min", Shapes: same, Order: 1, Build: binary(graphop.Min)},
		{Name: "relu", Shapes: v, Order: 1, Build: unary(graphop.ReLU)},
		{Name: "exp", Shapes: v, Build: unary(graphop.Exp)},
		{Name: "log", Shapes: v, Low: 0.5, High: 3, Build: unary(graphop.Log)},
		{Name: "sqrt", Shapes: v, Low: 0.5, High: 3, Build: unary(graphop.Sqrt)},
		{Name: "sin", Shapes: v, Build: unary(graphop.Sin)},
		{Name: "cos", Shapes: v, Build: unary(graphop.Cos)},
		{Name: "sigmoid", Shapes: v, Build: unary(graphop.Sigmoid)},
		{Name: "silu", Shapes: v, Low: -4, High: 4, Build: unary(graphop.SiLU)},
		{Name: "where", Shapes: [][]int{{3, 5}, {3, 5}}, Build: func(in nodes) node {
			c := graphop.Table(in[0], []float64{1, 0, 0, 1, 1}, 1, 5)
			return graphop.Where(c, graphop.Exp(in[0]), graphop.Sin(in[1]))
		}},
		one("broadcast", []int{1, 5}, func(x node) node { return graphop.Broadcast(graphop.Exp(x), 3, 5) }),
		one("sum inner", []int{3, 4, 5}, func(x node) node { return graphop.Exp(graphop.Sum(graphop.Sin(x), 2)) }),
		{Name: "sum outer and inner", Shapes: [][]int{{3, 4, 5}}, Build: func(in nodes) node {
			return graphop.Square(graphop.Sum(graphop.Sin(in[0]), 0, 2))
		}},
		one("sum middle", []int{3, 4, 5}, func(x node) node { return graphop.Square(graphop.Sum(graphop.Sin(x), 1)) }),
		one("mean", []int{3, 4}, func(x node) node { return graphop.Exp(graphop.Mean(graphop.Sin(x))) }),
		{Name: "reshape", Shapes: [][]int{{3, 4}}, Build: func(in nodes) node {
			return graphop.Mul(graphop.Exp(graphop.Reshape(graphop.Sin(in[0]), 2, 6)), graphop.Reshape(in[0], 2, 6))
		}},
		{Name: "transpose", Shapes: [][]int{{2, 3, 4}}, Build: func(in nodes) node {
			return graphop.Exp(graphop.Transpose(graphop.Sin(in[0]), 2, 0, 1))
		}},
		one("boundary", []int{2, 3}, func(x node) node { return graphop.Exp(graphop.Boundary(graphop.Sin(x))) }),
		one("slice", []int{2, 5, 3}, func(x node) node { return graphop.Exp(graphop.Slice(graphop.Sin(x), 1, 1, 4)) }),
		one("pad", []int{2, 3, 3}, func(x node) node { return graphop.Exp(graphop.Pad(graphop.Sin(x), 1, 1, 2)) }),
		{Name: "concat", Shapes: [][]int{{2, 1, 3}, {2, 2, 3}}, Build: func(in nodes) node {
			return graphop.Exp(graphop.Concat(1, in[1], graphop.Sin(in[0]), in[1]))
		}},
		one("avgpool", []int{2, 2, 4, 6}, func(x node) node { return graphop.Exp(graphop.AvgPool(graphop.Sin(x), 2)) }),
		one("upsample", []int{2, 2, 2, 3}, func(x node) node { return graphop.Exp(graphop.Upsample(graphop.Sin(x), 2)) }),
	}
	cases = append(cases,
		one("softmax", []int{3, 5}, func(x node) node { return graphop.Softmax(graphop.Sin(x)) }),
		Case{Name: "softmax of rank 3", Shapes: [][]int{{2, 2, 9}}, Build: func(in nodes) node {
			return graphop.Sin(graphop.Softmax(graphop.Scale(in[0], 2)))
		}},
		Case{Name: "attention", Shapes: [][]int{{2, 3, 4}, {2, 3, 5}, {2, 2, 5}}, Build: func(in nodes) node {
			return graphop.MatMul(in[2], graphop.Softmax(graphop.MatMul(in[0], in[1], true, false)), false, true)
		}},
		Case{Name: "dropout", Shapes: [][]int{{3, 7}}, Build: func(in nodes) node {
			return graphop.Exp(graphop.Dropout(graphop.Sin(in[0]), drawKey(in[0]), "case", 0.3))
		}},
		Case{Name: "uniform", Shapes: [][]int{{3, 7}}, Build: func(in nodes) node {
			return graphop.Sin(graphop.Mul(in[0], graphop.Uniform(drawKey(in[0]), "case", 3, 7)))
		}})
	for _, t := range []struct {
		name   string
		ta, tb bool
	}{{"nn", false, false}, {"nt", false, true}, {"tn", true, false}, {"tt", true, true}} {
		a, b := []int{3, 4}, []int{4, 2}
		if t.ta {
			a = []int{4, 3}
		}
		if t.tb {
			b = []int{2, 4}
		}
		f := func(in nodes) node { return graphop.Sin(graphop.MatMul(in[0], in[1], t.ta, t.tb)) }
		cases = append(cases,
			Case{Name: "matmul " + t.name, Shapes: [][]int{a, b}, Build: f},
			Case{Name: "batched matmul " + t.name, Shapes: [][]int{append([]int{2}, a...), append([]int{2}, b...)}, Build: f})
	}
	for _, c := range []struct {
		name                string
		x, w                []int
		down, across, h, wd int
	}{
		{"3x3", []int{2, 2, 4, 5}, []int{3, 2, 3, 3}, 1, 1, 1, 1},
		{"1x1", []int{2, 3, 3, 3}, []int{2, 3, 1, 1}, 1, 1, 0, 0},
		{"3x3 stride 2", []int{2, 2, 5, 6}, []int{2, 2, 3, 3}, 2, 2, 1, 1},
		{"1x3 unpadded", []int{1, 2, 3, 5}, []int{2, 2, 1, 3}, 1, 1, 0, 0},
		{"5x5", []int{1, 1, 5, 5}, []int{2, 1, 5, 5}, 1, 1, 2, 2},
		{"5x5 stride 1,2", []int{1, 2, 6, 7}, []int{2, 2, 5, 5}, 1, 2, 2, 2},
		{"1x7", []int{1, 2, 3, 7}, []int{2, 2, 1, 7}, 1, 1, 0, 3},
		{"7x1", []int{1, 2, 7, 3}, []int{2, 2, 7, 1}, 1, 1, 3, 0},
		{"3x3 stride 2,1", []int{2, 2, 5, 4}, []int{2, 2, 3, 3}, 2, 1, 1, 1},
		{"3x3 stride 2 unpadded", []int{1, 2, 7, 6}, []int{2, 2, 3, 3}, 2, 2, 0, 0},
		{"1x1 stride 2", []int{2, 2, 4, 5}, []int{3, 2, 1, 1}, 2, 2, 0, 0},
	} {
		cases = append(cases, Case{Name: "conv " + c.name, Shapes: [][]int{c.x, c.w}, Build: func(in nodes) node {
			return graphop.Sin(graphop.ConvStrided(in[0], in[1], c.down, c.across, c.h, c.wd))
		}})
	}
	for _, c := range []struct {
		name string
		x    []int
		w    graphop.Window2D
	}{
		{"3x3 stride 1 pad 1", []int{2, 2, 4, 5}, graphop.Window2D{KH: 3, KW: 3, StrideH: 1, StrideW: 1, PadH: 1, PadW: 1}},
		{"3x3 stride 2", []int{1, 2, 7, 6}, graphop.Window2D{KH: 3, KW: 3, StrideH: 2, StrideW: 2}},
		{"2x3 stride 1,2 pad 1,1", []int{1, 2, 4, 5},
			graphop.Window2D{KH: 2, KW: 3, StrideH: 1, StrideW: 2, PadH: 1, PadW: 1}},
		{"2x2 stride 3 with gaps", []int{1, 2, 5, 6}, graphop.Window2D{KH: 2, KW: 2, StrideH: 3, StrideW: 3}},
	} {
		cases = append(cases,
			Case{Name: "window sum " + c.name, Shapes: [][]int{c.x}, Build: func(in nodes) node {
				return graphop.Sin(graphop.WindowSum(graphop.Sin(in[0]), c.w))
			}},
			Case{Name: "mean without padding " + c.name, Shapes: [][]int{c.x}, Build: func(in nodes) node {
				return graphop.Exp(graphop.AvgPool2D(graphop.Sin(in[0]), c.w, false))
			}},
			Case{Name: "mean with padding " + c.name, Shapes: [][]int{c.x}, Build: func(in nodes) node {
				return graphop.Exp(graphop.AvgPool2D(graphop.Sin(in[0]), c.w, true))
			}},
			// Small changes to the inputs do not move the maxima, so all derivatives exist.
			Case{Name: "max pool " + c.name, Shapes: [][]int{c.x}, Build: func(in nodes) node {
				return graphop.Exp(graphop.MaxPool2D(graphop.Mul(in[0], in[0]), c.w))
			}})
	}
	return cases
}

// drawKey returns a constant key for random draws.
func drawKey(like node) node {
	k := graphop.PhiloxKey(0x0123456789abcdef, 0xfedcba9876543210)
	return graphop.Table(like, k[:], len(k))
}

func (c Case) draw(rng *rand.Rand) [][]float64 {
	var out [][]float64
	for _, s := range c.Shapes {
		v := make([]float64, tensor.Shape(s).TotalSize())
		for i := range v {
			if c.Low == c.High {
				v[i] = rng.NormFloat64()
			} else {
				v[i] = c.Low + (c.High-c.Low)*rng.Float64()
			}
		}
		out = append(out, v)
	}
	return out
}
