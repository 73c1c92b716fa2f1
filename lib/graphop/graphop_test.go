package graphop

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func inputs(shapes ...[]int) []*Node {
	g := gorgonia.NewGraph()
	var out []*Node
	for i, s := range shapes {
		out = append(out, Input(g, tensor.Float64, fmt.Sprintf("x%d", i), s...))
	}
	return out
}

func TestConstructorsCheckShapes(t *testing.T) {
	for _, c := range []struct {
		name   string
		shapes [][]int
		build  func(in []*Node)
	}{
		{"add of different ranks", [][]int{{2}, {1, 2}}, func(in []*Node) { Add(in[0], in[1]) }},
		{"mul that does not broadcast", [][]int{{2, 3}, {3, 2}}, func(in []*Node) { Mul(in[0], in[1]) }},
		{"where with a condition that does not broadcast", [][]int{{2}, {3}}, func(in []*Node) {
			Where(in[0], in[1], in[1])
		}},
		{"broadcast that shrinks", [][]int{{2}}, func(in []*Node) { Broadcast(in[0], 1) }},
		{"broadcast to another rank", [][]int{{3}}, func(in []*Node) { Broadcast(in[0], 1, 3) }},
		{"broadcast to nothing", [][]int{{1}}, func(in []*Node) { Broadcast(in[0], 0) }},
		{"sum to a larger shape", [][]int{{2, 1}}, func(in []*Node) { sumTo(in[0], 2, 3) }},
		{"sum to another rank", [][]int{{2, 1}}, func(in []*Node) { sumTo(in[0], 2) }},
		{"sum over a missing axis", [][]int{{2}}, func(in []*Node) { Sum(in[0], 1) }},
		{"sum over a negative axis", [][]int{{2}}, func(in []*Node) { Sum(in[0], -1) }},
		{"matmul of vectors", [][]int{{2}, {2}}, func(in []*Node) { MatMul(in[0], in[1], false, false) }},
		{"matmul with unequal inner sizes", [][]int{{2, 3}, {2, 3}}, func(in []*Node) { MatMul(in[0], in[1], false, false) }},
		{"matmul with unequal inner sizes, transposed", [][]int{{2, 3}, {3, 2}}, func(in []*Node) {
			MatMul(in[0], in[1], true, false)
		}},
		{"batched matmul of unequal batches", [][]int{{2, 2, 2}, {3, 2, 2}}, func(in []*Node) {
			MatMul(in[0], in[1], false, false)
		}},
		{"matmul of a matrix and a batch", [][]int{{2, 2}, {3, 2, 2}}, func(in []*Node) {
			MatMul(in[0], in[1], false, false)
		}},
		{"reshape to another size", [][]int{{2, 3}}, func(in []*Node) { Reshape(in[0], 5) }},
		{"reshape to rank 0", [][]int{{1}}, func(in []*Node) { Reshape(in[0]) }},
		{"reshape to negative sizes", [][]int{{6}}, func(in []*Node) { Reshape(in[0], -2, -3) }},
		{"transpose without axes", [][]int{{2, 3}}, func(in []*Node) { Transpose(in[0]) }},
		{"transpose with an axis twice", [][]int{{2, 3}}, func(in []*Node) { Transpose(in[0], 0, 0) }},
		{"transpose of too many axes", [][]int{{2, 3}}, func(in []*Node) { Transpose(in[0], 0, 1, 2) }},
		{"empty slice", [][]int{{4}}, func(in []*Node) { Slice(in[0], 0, 2, 2) }},
		{"slice beyond the end", [][]int{{4}}, func(in []*Node) { Slice(in[0], 0, 2, 5) }},
		{"slice of a missing axis", [][]int{{4}}, func(in []*Node) { Slice(in[0], 1, 0, 1) }},
		{"negative pad", [][]int{{4}}, func(in []*Node) { Pad(in[0], 0, -1, 2) }},
		{"concat of nothing", nil, func([]*Node) { Concat(0) }},
		{"concat of different ranks", [][]int{{2}, {2, 1}}, func(in []*Node) { Concat(0, in...) }},
		{"concat of different sizes", [][]int{{2, 3}, {2, 4}}, func(in []*Node) { Concat(0, in...) }},
		{"concat on a missing axis", [][]int{{2}, {2}}, func(in []*Node) { Concat(1, in...) }},
		{"pooling with a remainder", [][]int{{1, 1, 4, 5}}, func(in []*Node) { AvgPool(in[0], 2) }},
		{"pooling of a matrix", [][]int{{4, 4}}, func(in []*Node) { AvgPool(in[0], 2) }},
		{"pooling of nothing", [][]int{{1, 1, 4, 4}}, func(in []*Node) { AvgPool(in[0], 0) }},
		{"upsampling of a matrix", [][]int{{4, 4}}, func(in []*Node) { Upsample(in[0], 2) }},
		{"upsampling to nothing", [][]int{{1, 1, 4, 4}}, func(in []*Node) { Upsample(in[0], 0) }},
		{"convolution of other channels", [][]int{{1, 2, 4, 4}, {1, 3, 3, 3}}, func(in []*Node) {
			Conv(in[0], in[1], 1, 1, 1)
		}},
		{"convolution with stride 0", [][]int{{1, 2, 4, 4}, {1, 2, 3, 3}}, func(in []*Node) { Conv(in[0], in[1], 0, 1, 1) }},
		{"convolution with negative padding", [][]int{{1, 2, 4, 4}, {1, 2, 3, 3}}, func(in []*Node) {
			Conv(in[0], in[1], 1, -1, 1)
		}},
		{"convolution with too large a filter", [][]int{{1, 2, 4, 4}, {1, 2, 7, 3}}, func(in []*Node) {
			Conv(in[0], in[1], 1, 1, 1)
		}},
		{"strided convolution of a matrix", [][]int{{4, 4}, {1, 2, 3, 3}}, func(in []*Node) {
			ConvStrided(in[0], in[1], 2, 1, 1, 1)
		}},
		{"convolution with stride 0 across", [][]int{{1, 2, 4, 4}, {1, 2, 3, 3}}, func(in []*Node) {
			ConvStrided(in[0], in[1], 1, 0, 1, 1)
		}},
		{"sum of windows of a matrix", [][]int{{4, 4}}, func(in []*Node) { WindowSum(in[0], Window2D{3, 3, 1, 1, 1, 1}) }},
		{"sum of windows larger than the image", [][]int{{1, 1, 4, 4}}, func(in []*Node) {
			WindowSum(in[0], Window2D{5, 3, 1, 1, 0, 1})
		}},
		{"sum of empty windows", [][]int{{1, 1, 4, 4}}, func(in []*Node) { WindowSum(in[0], Window2D{3, 0, 1, 1, 1, 0}) }},
		{"mean of windows without a stride", [][]int{{1, 1, 4, 4}}, func(in []*Node) {
			AvgPool2D(in[0], Window2D{KH: 3, KW: 3}, true)
		}},
		{"mean of windows of padding alone", [][]int{{1, 1, 4, 4}}, func(in []*Node) {
			AvgPool2D(in[0], Window2D{2, 2, 1, 1, 2, 0}, false)
		}},
		{"maximum of windows of padding alone", [][]int{{1, 1, 4, 4}}, func(in []*Node) {
			MaxPool2D(in[0], Window2D{2, 2, 1, 1, 0, 2})
		}},
		{"maximum of windows with negative padding", [][]int{{1, 1, 4, 4}}, func(in []*Node) {
			MaxPool2D(in[0], Window2D{2, 2, 1, 1, -1, 0})
		}},
		{"maximum of windows of a batch of matrices", [][]int{{1, 4, 4}}, func(in []*Node) {
			MaxPool2D(in[0], Window2D{2, 2, 2, 2, 0, 0})
		}},
		{"rowmax of a vector", [][]int{{4}}, func(in []*Node) { RowMax(in[0]) }},
		{"softmax of a vector", [][]int{{4}}, func(in []*Node) { Softmax(in[0]) }},
		{"a draw with a short key", [][]int{{4}}, func(in []*Node) { Uniform(in[0], "a", 2) }},
		{"a draw with a key of rank 2", [][]int{{1, 8}}, func(in []*Node) { Uniform(in[0], "a", 2) }},
		{"a draw of rank 0", [][]int{{8}}, func(in []*Node) { Uniform(in[0], "a") }},
		{"an empty draw", [][]int{{8}}, func(in []*Node) { Uniform(in[0], "a", 2, 0) }},
		{"a draw beyond the counter", [][]int{{8}}, func(in []*Node) { Uniform(in[0], "a", 1<<17, 1<<17) }},
		{"dropout of everything", [][]int{{4}, {8}}, func(in []*Node) { Dropout(in[0], in[1], "a", 1) }},
		{"dropout of less than nothing", [][]int{{4}, {8}}, func(in []*Node) { Dropout(in[0], in[1], "a", -0.1) }},
		{"dropout with probability NaN", [][]int{{4}, {8}}, func(in []*Node) { Dropout(in[0], in[1], "a", math.NaN()) }},
		{"table of too few values", [][]int{{4}}, func(in []*Node) { Table(in[0], []float64{1, 2}, 3) }},
		{"constant of rank 0", [][]int{{4}}, func(in []*Node) { Fill(in[0], 1) }},
		{"empty constant", [][]int{{4}}, func(in []*Node) { Fill(in[0], 1, 2, 0) }},
		{"input of rank 0", [][]int{{4}}, func(in []*Node) { Input(in[0].Graph(), tensor.Float64, "new") }},
		{"empty input", [][]int{{4}}, func(in []*Node) { Input(in[0].Graph(), tensor.Float64, "new", 2, 0) }},
		{"input with a taken name", [][]int{{4}}, func(in []*Node) { Input(in[0].Graph(), tensor.Float64, "x0", 4) }},
		{"different element types", [][]int{{4}}, func(in []*Node) {
			Add(in[0], Input(in[0].Graph(), tensor.Float32, "single", 4))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := inputs(c.shapes...)
			err := Build(func() { c.build(in) })
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error is %v, want *Error", err)
			}
			if e.Op == "" || e.Reason == "" {
				t.Errorf("error %#v lacks its operation or reason", e)
			}
		})
	}
}

// In a program that links no engine, evaluating an operation is an error.
func TestNoEngine(t *testing.T) {
	defer SetEvaluator(evaluator)
	evaluator = nil
	n := Exp(inputs([]int{1})[0])
	_, err := Of(n).Do(tensor.New(tensor.WithShape(1), tensor.WithBacking([]float64{1})))
	if err == nil || !strings.Contains(err.Error(), "Code:exp P:0 Q:0} cannot be computed") {
		t.Errorf("got %v, want an error that names exp", err)
	}
}

func TestBuildLetsOtherPanicsThrough(t *testing.T) {
	defer func() {
		if r := recover(); r != "another" {
			t.Errorf("recovered %v, want the panic of the builder", r)
		}
	}()
	_ = Build(func() { panic("another") })
}

// Constructors work on copies of shapes: the shape of a node never changes.
func TestConstructorsCopyShapes(t *testing.T) {
	in := inputs([]int{1, 2, 4, 4}, []int{2, 2, 3, 3}, []int{3, 4})
	_ = Build(func() {
		AvgPool(in[0], 2)
		Conv(in[0], in[1], 1, 1, 1)
		Slice(in[0], 1, 0, 1)
		Pad(in[0], 3, 1, 1)
		Concat(1, in[0], in[0])
		RowMax(in[2])
		Sum(in[2])
		Where(in[2], in[2], Fill(in[2], 0, onesLike(in[2])...))
	})
	for i, want := range [][]int{{1, 2, 4, 4}, {2, 2, 3, 3}, {3, 4}} {
		if !slices.Equal([]int(in[i].Shape()), want) {
			t.Errorf("input %d now has shape %v, want %v as before", i, in[i].Shape(), want)
		}
	}
}

func TestSimplifications(t *testing.T) {
	in := inputs([]int{2, 3}, []int{1, 3})
	x, row := in[0], in[1]
	for _, c := range []struct {
		name      string
		got, want *Node
	}{
		{"1·x + 0", Affine(x, 1, 0), x},
		{"-(-x)", Neg(Neg(x)), x},
		{"2(3x+1)+1", Affine(Affine(x, 3, 1), 2, 1), Affine(x, 6, 3)},
		{"x + 2", Add(x, Fill(x, 2, 1, 1)), AddScalar(x, 2)},
		{"2 - x", Sub(Fill(x, 2, 2, 3), x), Affine(x, -1, 2)},
		{"x · 2", Mul(x, Fill(x, 2, 1, 3)), Scale(x, 2)},
		{"sum of ones", Sum(Fill(x, 1, 2, 3), 0), Fill(x, 2, 1, 3)},
		{"reshape of reshape", Reshape(Reshape(x, 6), 3, 2), Reshape(x, 3, 2)},
		{"reshape back", Reshape(Reshape(x, 6), 2, 3), x},
		{"explicit broadcast", Add(x, Broadcast(row, 2, 3)), Add(x, row)},
		{"identity transpose", Transpose(x, 0, 1), x},
		{"whole slice", Slice(x, 1, 0, 3), x},
		{"no padding", Pad(x, 1, 0, 0), x},
		{"sum over size 1", Sum(row, 0), row},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %v %v, want %v %v", c.name, c.got, c.got.Shape(), c.want, c.want.Shape())
		}
	}
	// In a product with a larger constant, the operand is broadcast to the shape of the constant.
	if s := Mul(row, Fill(x, 2, 2, 3)).Shape(); !SameShape(s, tensor.Shape{2, 3}) {
		t.Errorf("row times a [2 3] constant has shape %v, want [2 3]", s)
	}
	if s := Reshape(inputs([]int{3})[0], 1, 3).Shape(); !SameShape(s, tensor.Shape{1, 3}) {
		t.Errorf("reshape of [3] to [1 3] has shape %v, want [1 3]", s)
	}
}
