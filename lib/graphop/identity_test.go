package graphop

import (
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

	"vapo/lib/kernel"
)

// Operations with equal names would be merged into one node, so a name must contain every attribute. The test reads the
// list of kinds from the source, so it cannot miss a new kind.
func TestNameContainsEveryAttribute(t *testing.T) {
	kinds := map[string]Kind{
		"BoundaryOp":      &BoundaryOp{},
		"ConstOp":         &ConstOp{Value: 1, id: "fill 1"},
		"ConvOp":          &ConvOp{Role: Forward, Shape: kernel.ConvShape{N: 1}},
		"ConcatOp":        &ConcatOp{Axis: 1},
		"PadOp":           &PadOp{Axis: 1, Before: 2, After: 3},
		"RowMaxOp":        &RowMaxOp{},
		"TransposeOp":     &TransposeOp{Perm: []int{0, 2, 1}},
		"PhiloxOp":        &PhiloxOp{Stream: "layer"},
		"PointwiseOp":     &PointwiseOp{Code: kernel.Affine, P: 1.5, Q: 0.25},
		"AvgPoolOp":       &AvgPoolOp{K: 2},
		"MatMulOp":        &MatMulOp{TransA: true},
		"UpsampleOp":      &UpsampleOp{K: 2},
		"ScatterMaxOp":    &ScatterMaxOp{Window: Window2D{1, 2, 3, 4, 5, 6}},
		"SelectMaxOp":     &SelectMaxOp{Window: Window2D{1, 2, 3, 4, 5, 6}},
		"SoftmaxOp":       &SoftmaxOp{},
		"WindowSumGradOp": &WindowSumGradOp{Window: Window2D{1, 2, 3, 4, 5, 6}},
		"SumOp":           &SumOp{Axes: []int{0, 1}},
		"WindowSumOp":     &WindowSumOp{Window: Window2D{1, 2, 3, 4, 5, 6}},
		"ReshapeOp":       &ReshapeOp{Shape: tensor.Shape{2, 3}},
		"SliceOp":         &SliceOp{Axis: 1, From: 2, To: 3},
	}
	if got, want := slices.Sorted(maps.Keys(kinds)), kindsInSource(t); !slices.Equal(got, want) {
		t.Fatalf("kinds tested: %v\nkinds in the source: %v", got, want)
	}
	delete(kinds, "ConstOp") // see TestConstants
	names := map[string]string{}
	for kind, k := range kinds {
		names[name(k)] = kind
		walkFields(reflect.ValueOf(k).Elem(), kind, func(path string, change func(), undo func()) {
			before := name(k)
			change()
			if name(k) == before {
				t.Errorf("the name %q does not contain %s", before, path)
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

// walkFields calls f for every field of a struct, recursively. The functions passed to f change the field and restore
// it.
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
		old := v.Float() // one unit in the last place must matter
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
		t.Error("two equal constants are two nodes, want one")
	}
	distinct := []*Node{
		Fill(x, 1, 2, 3), Fill(x, math.Nextafter(1, 2), 2, 3), Fill(x, 1, 3, 2), Fill(x, 1, 6), Fill(x, 1, 1, 6),
		Fill(x, 0, 2, 3), Fill(x, math.Copysign(0, -1), 2, 3), Fill(x, math.NaN(), 2, 3),
		Table(x, []float64{1, 2}, 2), Table(x, []float64{2, 1}, 2), Table(x, []float64{1, 1}, 2),
		Table(x, []float64{1, 2}, 1, 2),
	}
	seen := map[*Node]int{}
	for i, n := range distinct {
		if j, twice := seen[n]; twice {
			t.Errorf("constants %d and %d are one node", j, i)
		}
		seen[n] = i
	}
}

// recorder records the bytes that Gorgonia hashes for a node.
type recorder struct{ bytes []byte }

func (r *recorder) Write(p []byte) (int, error) { r.bytes = append(r.bytes, p...); return len(p), nil }
func (r *recorder) Sum(b []byte) []byte         { return b }
func (r *recorder) Reset()                      {}
func (r *recorder) Size() int                   { return 4 }
func (r *recorder) BlockSize() int              { return 1 }
func (r *recorder) Sum32() uint32               { return 0 }

// Gorgonia identifies nodes by a 32-bit hash. The test finds two sums of different inputs with the same hash. It shows
// that Gorgonia alone merges the two sums and that apply does not.
func TestHashCollision(t *testing.T) {
	const n = 700
	g := gorgonia.NewGraph()
	var in []*Node
	for i := range n {
		in = append(in, Input(g, tensor.Float64, fmt.Sprintf("x%d", i), 1))
	}
	r := &recorder{}
	Add(in[0], in[1]).WriteHash(r)
	prefix := r.bytes[:len(r.bytes)-8] // without the hashes of the two children
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
		t.Fatal("Gorgonia now distinguishes the colliding sums; apply may not need its check")
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
			t.Errorf("the sum of x%d and x%d has the children %v, want these two", c.want[0], c.want[1], got)
		}
	}
	if Add(in[b[0]], in[b[1]]) != two || Add(in[a[0]], in[a[1]]) != one {
		t.Error("equal sums are not merged after a collision")
	}
}
