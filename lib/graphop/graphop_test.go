package graphop

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"hash/fnv"
	"maps"
	"math"
	"os"
	"reflect"
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

func TestConstructorsRefuse(t *testing.T) {
	for _, c := range []struct {
		name   string
		shapes [][]int
		build  func(in []*Node)
	}{
		{"add of different ranks", [][]int{{2}, {1, 2}}, func(in []*Node) { Add(in[0], in[1]) }},
		{"mul that does not broadcast", [][]int{{2, 3}, {3, 2}}, func(in []*Node) { Mul(in[0], in[1]) }},
		{"where with a condition that does not broadcast", [][]int{{2}, {3}}, func(in []*Node) { Where(in[0], in[1], in[1]) }},
		{"broadcast that shrinks", [][]int{{2}}, func(in []*Node) { Broadcast(in[0], 1) }},
		{"broadcast to another rank", [][]int{{3}}, func(in []*Node) { Broadcast(in[0], 1, 3) }},
		{"broadcast to nothing", [][]int{{1}}, func(in []*Node) { Broadcast(in[0], 0) }},
		{"sum to a larger shape", [][]int{{2, 1}}, func(in []*Node) { SumTo(in[0], 2, 3) }},
		{"sum to another rank", [][]int{{2, 1}}, func(in []*Node) { SumTo(in[0], 2) }},
		{"sum over no axis", [][]int{{2}}, func(in []*Node) { Sum(in[0], 1) }},
		{"sum over a negative axis", [][]int{{2}}, func(in []*Node) { Sum(in[0], -1) }},
		{"matmul of vectors", [][]int{{2}, {2}}, func(in []*Node) { MatMul(in[0], in[1], false, false) }},
		{"matmul with unequal inner sizes", [][]int{{2, 3}, {2, 3}}, func(in []*Node) { MatMul(in[0], in[1], false, false) }},
		{"matmul with unequal inner sizes, transposed", [][]int{{2, 3}, {3, 2}}, func(in []*Node) { MatMul(in[0], in[1], true, false) }},
		{"batched matmul of unequal batches", [][]int{{2, 2, 2}, {3, 2, 2}}, func(in []*Node) { MatMul(in[0], in[1], false, false) }},
		{"matmul of a matrix and a batch", [][]int{{2, 2}, {3, 2, 2}}, func(in []*Node) { MatMul(in[0], in[1], false, false) }},
		{"reshape to another size", [][]int{{2, 3}}, func(in []*Node) { Reshape(in[0], 5) }},
		{"reshape to rank 0", [][]int{{1}}, func(in []*Node) { Reshape(in[0]) }},
		{"reshape to negative sizes", [][]int{{6}}, func(in []*Node) { Reshape(in[0], -2, -3) }},
		{"transpose without axes", [][]int{{2, 3}}, func(in []*Node) { Transpose(in[0]) }},
		{"transpose with an axis twice", [][]int{{2, 3}}, func(in []*Node) { Transpose(in[0], 0, 0) }},
		{"transpose of too many axes", [][]int{{2, 3}}, func(in []*Node) { Transpose(in[0], 0, 1, 2) }},
		{"empty slice", [][]int{{4}}, func(in []*Node) { Slice(in[0], 0, 2, 2) }},
		{"slice beyond the end", [][]int{{4}}, func(in []*Node) { Slice(in[0], 0, 2, 5) }},
		{"slice of no axis", [][]int{{4}}, func(in []*Node) { Slice(in[0], 1, 0, 1) }},
		{"negative pad", [][]int{{4}}, func(in []*Node) { Pad(in[0], 0, -1, 2) }},
		{"concat of nothing", nil, func([]*Node) { Concat(0) }},
		{"concat of different ranks", [][]int{{2}, {2, 1}}, func(in []*Node) { Concat(0, in...) }},
		{"concat of different sides", [][]int{{2, 3}, {2, 4}}, func(in []*Node) { Concat(0, in...) }},
		{"concat on no axis", [][]int{{2}, {2}}, func(in []*Node) { Concat(1, in...) }},
		{"pooling that leaves a rest", [][]int{{1, 1, 4, 5}}, func(in []*Node) { AvgPool(in[0], 2) }},
		{"pooling of a matrix", [][]int{{4, 4}}, func(in []*Node) { AvgPool(in[0], 2) }},
		{"pooling of nothing", [][]int{{1, 1, 4, 4}}, func(in []*Node) { AvgPool(in[0], 0) }},
		{"upsampling of a matrix", [][]int{{4, 4}}, func(in []*Node) { Upsample(in[0], 2) }},
		{"upsampling to nothing", [][]int{{1, 1, 4, 4}}, func(in []*Node) { Upsample(in[0], 0) }},
		{"convolution of other channels", [][]int{{1, 2, 4, 4}, {1, 3, 3, 3}}, func(in []*Node) { Conv(in[0], in[1], 1, 1, 1) }},
		{"convolution with stride 0", [][]int{{1, 2, 4, 4}, {1, 2, 3, 3}}, func(in []*Node) { Conv(in[0], in[1], 0, 1, 1) }},
		{"convolution with negative padding", [][]int{{1, 2, 4, 4}, {1, 2, 3, 3}}, func(in []*Node) { Conv(in[0], in[1], 1, -1, 1) }},
		{"convolution with too large a filter", [][]int{{1, 2, 4, 4}, {1, 2, 7, 3}}, func(in []*Node) { Conv(in[0], in[1], 1, 1, 1) }},
		{"strided convolution of a matrix", [][]int{{4, 4}, {1, 2, 3, 3}}, func(in []*Node) { ConvStrided(in[0], in[1], 2, 1, 1, 1) }},
		{"convolution with stride 0 across", [][]int{{1, 2, 4, 4}, {1, 2, 3, 3}}, func(in []*Node) { ConvStrided(in[0], in[1], 1, 0, 1, 1) }},
		{"sum of windows of a matrix", [][]int{{4, 4}}, func(in []*Node) { WindowSum(in[0], Window2D{3, 3, 1, 1, 1, 1}) }},
		{"sum of windows larger than the image", [][]int{{1, 1, 4, 4}}, func(in []*Node) { WindowSum(in[0], Window2D{5, 3, 1, 1, 0, 1}) }},
		{"sum of empty windows", [][]int{{1, 1, 4, 4}}, func(in []*Node) { WindowSum(in[0], Window2D{3, 0, 1, 1, 1, 0}) }},
		{"mean of windows without a stride", [][]int{{1, 1, 4, 4}}, func(in []*Node) { AvgPool2D(in[0], Window2D{KH: 3, KW: 3}, true) }},
		{"mean of windows of padding alone", [][]int{{1, 1, 4, 4}}, func(in []*Node) { AvgPool2D(in[0], Window2D{2, 2, 1, 1, 2, 0}, false) }},
		{"maximum of windows of padding alone", [][]int{{1, 1, 4, 4}}, func(in []*Node) { MaxPool2D(in[0], Window2D{2, 2, 1, 1, 0, 2}) }},
		{"maximum of windows with negative padding", [][]int{{1, 1, 4, 4}}, func(in []*Node) { MaxPool2D(in[0], Window2D{2, 2, 1, 1, -1, 0}) }},
		{"maximum of windows of a batch of matrices", [][]int{{1, 4, 4}}, func(in []*Node) { MaxPool2D(in[0], Window2D{2, 2, 2, 2, 0, 0}) }},
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
		{"input of a taken name", [][]int{{4}}, func(in []*Node) { Input(in[0].Graph(), tensor.Float64, "x0", 4) }},
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

// In a program that links no engine, an operation says so instead of computing nothing.
func TestNoEngine(t *testing.T) {
	defer func(f func(*Operation, []gorgonia.Value) (gorgonia.Value, error)) { evaluator = f }(evaluator)
	evaluator = nil
	n := Exp(inputs([]int{1})[0])
	_, err := Of(n).Do(tensor.New(tensor.WithShape(1), tensor.WithBacking([]float64{1})))
	var missing *NoEngineError
	if !errors.As(err, &missing) || missing.Op != "exp" {
		t.Errorf("got %v, want a NoEngineError for exp", err)
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

// Constructors work on copies of shapes: a node's shape never changes.
func TestShapesStay(t *testing.T) {
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
			t.Errorf("input %d has shape %v now, was %v", i, in[i].Shape(), want)
		}
	}
}

// Two operations whose names are equal would be one node, so every attribute must be part of the name. The kinds are
// found in the source, so that a new one cannot be forgotten here.
func TestNameHoldsEveryAttribute(t *testing.T) {
	kinds := map[string]Kind{
		"ConstOp":        &ConstOp{Value: 1, id: "fill 1"},
		"ConvOp":         &ConvOp{Role: Forward, Shape: ConvShape{N: 1, Cin: 2, H: 3, W: 4, Cout: 5, KH: 6, KW: 7, StrideH: 8, StrideW: 9, PadH: 10, PadW: 11}},
		"ConcatOp":       &ConcatOp{Axis: 1},
		"PadOp":          &PadOp{Axis: 1, Before: 2, After: 3},
		"RowMaxOp":       &RowMaxOp{},
		"TransposeOp":    &TransposeOp{Perm: []int{0, 2, 1}},
		"PhiloxOp":       &PhiloxOp{Stream: "layer"},
		"PointwiseOp":    &PointwiseOp{Code: CodeAffine, P: 1.5, Q: 0.25},
		"AvgPoolOp":      &AvgPoolOp{K: 2},
		"MatMulOp":       &MatMulOp{TransA: true},
		"UpsampleOp":     &UpsampleOp{K: 2},
		"ScatterMaxOp":   &ScatterMaxOp{Window: Window2D{KH: 1, KW: 2, StrideH: 3, StrideW: 4, PadH: 5, PadW: 6}},
		"SelectMaxOp":    &SelectMaxOp{Window: Window2D{KH: 1, KW: 2, StrideH: 3, StrideW: 4, PadH: 5, PadW: 6}},
		"SoftmaxOp":      &SoftmaxOp{},
		"WindowSpreadOp": &WindowSpreadOp{Window: Window2D{KH: 1, KW: 2, StrideH: 3, StrideW: 4, PadH: 5, PadW: 6}},
		"SumOp":          &SumOp{Axes: []int{0, 1}},
		"WindowSumOp":    &WindowSumOp{Window: Window2D{KH: 1, KW: 2, StrideH: 3, StrideW: 4, PadH: 5, PadW: 6}},
		"ReshapeOp":      &ReshapeOp{Shape: tensor.Shape{2, 3}},
		"SliceOp":        &SliceOp{Axis: 1, From: 2, To: 3},
	}
	if got, want := slices.Sorted(maps.Keys(kinds)), kindsInSource(t); !slices.Equal(got, want) {
		t.Fatalf("kinds tested: %v\nkinds in the source: %v", got, want)
	}
	delete(kinds, "ConstOp") // TestConstants
	names := map[string]string{}
	for kind, k := range kinds {
		names[k.Name()] = kind
		walkFields(reflect.ValueOf(k).Elem(), kind, func(path string, change func(), undo func()) {
			before := k.Name()
			change()
			if k.Name() == before {
				t.Errorf("the name %q does not tell %s", before, path)
			}
			undo()
		})
	}
	if len(names) != len(kinds) {
		t.Errorf("kinds share a name: %v", names)
	}
}

func kindsInSource(t *testing.T) []string {
	t.Helper()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "Diff" && f.Recv != nil {
				if star, ok := f.Recv.List[0].Type.(*ast.StarExpr); ok {
					out = append(out, star.X.(*ast.Ident).Name)
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// walkFields calls f for every number and flag inside of a struct, with functions that change it and change it back.
func walkFields(v reflect.Value, path string, f func(path string, change, undo func())) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			walkFields(v.Field(i), path+"."+v.Type().Field(i).Name, f)
		}
	case reflect.Slice:
		for i := range v.Len() {
			walkFields(v.Index(i), fmt.Sprintf("%s[%d]", path, i), f)
		}
	case reflect.Int:
		f(path, func() { v.SetInt(v.Int() + 1) }, func() { v.SetInt(v.Int() - 1) })
	case reflect.Uint8:
		f(path, func() { v.SetUint(v.Uint() + 1) }, func() { v.SetUint(v.Uint() - 1) })
	case reflect.Float64:
		old := v.Float() // one unit in the last place must show
		f(path, func() { v.SetFloat(math.Nextafter(old, 9)) }, func() { v.SetFloat(old) })
	case reflect.String:
		old := v.String()
		f(path, func() { v.SetString(old + "x") }, func() { v.SetString(old) })
	case reflect.Bool:
		f(path, func() { v.SetBool(!v.Bool()) }, func() { v.SetBool(!v.Bool()) })
	default:
		panic("field " + path + " of kind " + v.Kind().String())
	}
}

func TestConstants(t *testing.T) {
	x := inputs([]int{2, 3})[0]
	if one, again := Fill(x, 1, 2, 3), Fill(x, 1, 2, 3); one != again {
		t.Error("equal constants are two nodes")
	}
	distinct := []*Node{
		Fill(x, 1, 2, 3), Fill(x, math.Nextafter(1, 2), 2, 3), Fill(x, 1, 3, 2), Fill(x, 1, 6), Fill(x, 1, 1, 6), Fill(x, 0, 2, 3),
		Fill(x, math.Copysign(0, -1), 2, 3), Fill(x, math.NaN(), 2, 3),
		Table(x, []float64{1, 2}, 2), Table(x, []float64{2, 1}, 2), Table(x, []float64{1, 1}, 2), Table(x, []float64{1, 2}, 1, 2),
	}
	seen := map[*Node]int{}
	for i, n := range distinct {
		if j, twice := seen[n]; twice {
			t.Errorf("constants %d and %d are one node", j, i)
		}
		seen[n] = i
	}
}

// recorder records what Gorgonia hashes of a node.
type recorder struct{ bytes []byte }

func (r *recorder) Write(p []byte) (int, error) { r.bytes = append(r.bytes, p...); return len(p), nil }
func (r *recorder) Sum(b []byte) []byte         { return b }
func (r *recorder) Reset()                      {}
func (r *recorder) Size() int                   { return 4 }
func (r *recorder) BlockSize() int              { return 1 }
func (r *recorder) Sum32() uint32               { return 0 }

// Gorgonia identifies nodes by 32 bits. This finds two sums of different inputs with the same 32 bits, shows that
// Gorgonia alone takes them for one, and that the family does not.
func TestHashCollision(t *testing.T) {
	const n = 700
	g := gorgonia.NewGraph()
	var in []*Node
	for i := range n {
		in = append(in, gorgonia.NewTensor(g, tensor.Float64, 1, gorgonia.WithShape(1), gorgonia.WithName(fmt.Sprintf("x%d", i))))
	}
	r := &recorder{}
	Add(in[0], in[1]).WriteHash(r)
	prefix := r.bytes[:len(r.bytes)-8] // all but the hashes of the two children
	h := fnv.New32a()
	h.Write(prefix)
	step := func(state, child uint32) uint32 {
		for range 4 {
			state = (state ^ child&255) * 16777619
			child >>= 8
		}
		return state
	}
	seen := map[uint32][2]int{}
	var a, b [2]int
	found := false
search:
	for i := range in {
		first := step(h.Sum32(), in[i].Hashcode())
		for j := range in {
			k := step(first, in[j].Hashcode())
			if at, ok := seen[k]; ok && at[0] != i && at[1] != j {
				a, b, found = at, [2]int{i, j}, true
				break search
			}
			seen[k] = [2]int{i, j}
		}
	}
	if !found {
		t.Fatalf("no collision among %d sums; has the hash changed?", n*n)
	}
	t.Logf("x%d+x%d and x%d+x%d", a[0], a[1], b[0], b[1])
	one := Add(in[a[0]], in[a[1]])
	op := *Of(one)
	merged, err := gorgonia.ApplyOp(&op, in[b[0]], in[b[1]])
	if err != nil {
		t.Fatal(err)
	}
	if merged != one {
		t.Fatal("Gorgonia keeps the colliding sums apart by itself now; the guard of apply may not be needed")
	}
	two := Add(in[b[0]], in[b[1]])
	if one == two {
		t.Fatal("two different sums became one node")
	}
	for _, c := range []struct {
		n    *Node
		want [2]int
	}{{one, a}, {two, b}} {
		if got := Children(c.n); got[0] != in[c.want[0]] || got[1] != in[c.want[1]] {
			t.Errorf("the sum of x%d and x%d has the children %v", c.want[0], c.want[1], got)
		}
	}
	if Add(in[b[0]], in[b[1]]) != two || Add(in[a[0]], in[a[1]]) != one {
		t.Error("equal sums are not merged any more after a collision")
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
	// A constant that is larger than the other operand keeps its shape.
	if s := Mul(row, Fill(x, 2, 2, 3)).Shape(); !SameShape(s, tensor.Shape{2, 3}) {
		t.Errorf("row times a [2 3] constant has shape %v", s)
	}
	if s := Reshape(inputs([]int{3})[0], 1, 3).Shape(); !SameShape(s, tensor.Shape{1, 3}) {
		t.Errorf("reshape of [3] to [1 3] has shape %v", s)
	}
}
