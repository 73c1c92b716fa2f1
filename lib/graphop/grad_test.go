package graphop_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	_ "vapo/lib/backend/tape" // computes what Do is asked for
	"vapo/lib/graphop"
)

// eval computes a node from the values of the inputs by its operations' own Do, children first.
func eval(t *testing.T, inputs map[*graphop.Node][]float64, n *graphop.Node) []float64 {
	t.Helper()
	values := map[*graphop.Node]gorgonia.Value{}
	for in, v := range inputs {
		if in.Dtype() == tensor.Float64 {
			values[in] = tensor.New(tensor.WithShape(in.Shape()...), tensor.WithBacking(slices.Clone(v)))
			continue
		}
		w := make([]float32, len(v))
		for i, x := range v {
			w[i] = float32(x)
		}
		values[in] = tensor.New(tensor.WithShape(in.Shape()...), tensor.WithBacking(w))
	}
	for _, n := range graphop.Order(n) {
		if values[n] != nil {
			continue
		}
		op := graphop.Of(n)
		if op == nil {
			t.Fatalf("no value for %s", n.Name())
		}
		var args []gorgonia.Value
		for _, c := range graphop.Children(n) {
			args = append(args, values[c])
		}
		v, err := op.Do(args...)
		if err != nil {
			t.Fatal(err)
		}
		values[n] = v
	}
	switch v := values[n].Data().(type) {
	case []float64:
		return v
	case []float32:
		out := make([]float64, len(v))
		for i, x := range v {
			out[i] = float64(x)
		}
		return out
	}
	t.Fatalf("%v is neither float32 nor float64", n)
	return nil
}

func scalarInput(name string) *graphop.Node {
	return graphop.Input(gorgonia.NewGraph(), tensor.Float64, name, 1)
}

func grad(t *testing.T, y *graphop.Node, wrt ...*graphop.Node) []*graphop.Node {
	t.Helper()
	d, err := graphop.Grad(y, wrt...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Why this package exists: Gorgonia's own Grad, applied to its own result, gives a wrong number and no error.
// If this test fails because Gorgonia's number became right, the note in the package comment is out of date.
func TestGorgoniaGradOfGrad(t *testing.T) {
	g := gorgonia.NewGraph()
	x := gorgonia.NewScalar(g, tensor.Float64, gorgonia.WithName("x"), gorgonia.WithValue(3.0))
	y := gorgonia.Must(gorgonia.Mul(x, gorgonia.Must(gorgonia.Mul(x, x))))
	first, err := gorgonia.Grad(y, x)
	if err != nil {
		t.Fatal(err)
	}
	second, err := gorgonia.Grad(first[0], x)
	if err != nil {
		t.Fatal(err)
	}
	vm := gorgonia.NewTapeMachine(g)
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	if got := second[0].Value().Data().(float64); got != 6 {
		t.Errorf("Gorgonia's second derivative of x³ at 3 is %v; it used to be 6, where 18 is right", got)
	}

	ours := scalarInput("x")
	cube := graphop.Mul(ours, graphop.Mul(ours, ours))
	d1 := grad(t, cube, ours)[0]
	d2 := grad(t, d1, ours)[0]
	d3 := grad(t, d2, ours)[0]
	d4 := grad(t, d3, ours)[0]
	feed := map[*graphop.Node][]float64{ours: {3}}
	for k, c := range []struct {
		n    *graphop.Node
		want float64
	}{{cube, 27}, {d1, 27}, {d2, 18}, {d3, 6}, {d4, 0}} {
		if got := eval(t, feed, c.n)[0]; got != c.want {
			t.Errorf("derivative %d of x³ at 3 is %v, want %v", k, got, c.want)
		}
	}
}

func TestUnusedVariable(t *testing.T) {
	g := gorgonia.NewGraph()
	x := graphop.Input(g, tensor.Float64, "x", 2, 3)
	unused := graphop.Input(g, tensor.Float64, "unused", 4, 1)
	constant := graphop.Input(g, tensor.Float64, "constant", 2)
	// Step has a zero derivative: x is used, but nothing flows back to it.
	d := grad(t, graphop.Add(graphop.Step(x), graphop.Fill(x, 1, 1, 1)), x, unused, constant)
	for i, want := range [][]int{{2, 3}, {4, 1}, {2}} {
		if !slices.Equal([]int(d[i].Shape()), want) {
			t.Errorf("gradient %d has shape %v, want %v", i, d[i].Shape(), want)
		}
		for _, v := range eval(t, map[*graphop.Node][]float64{x: make([]float64, 6)}, d[i]) {
			if v != 0 {
				t.Errorf("gradient %d holds %v, want 0", i, v)
			}
		}
	}
}

func TestDuplicateChildren(t *testing.T) {
	x := scalarInput("x")
	feed := map[*graphop.Node][]float64{x: {1.5}}
	for _, c := range []struct {
		name string
		y    *graphop.Node
		want float64
	}{
		{"x*x", graphop.Mul(x, x), 3},
		{"x+x", graphop.Add(x, x), 2},
		{"x-x", graphop.Sub(x, x), 0},
		{"x/x", graphop.Div(x, x), 0},
		{"concat(x,x,x)", graphop.Concat(0, x, x, x), 3},
		{"where(x,x,x)", graphop.Where(x, x, x), 1},
		{"max(x,x)", graphop.Max(x, x), 1}, // the kink's gradient goes to one side, once
	} {
		if got := eval(t, feed, grad(t, c.y, x)[0])[0]; math.Abs(got-c.want) > 1e-15 {
			t.Errorf("d(%s)/dx = %v, want %v", c.name, got, c.want)
		}
	}
}

// A node inside an expression is a variable like any other: its gradient holds what is above it fixed, and a variable
// below it gets the whole.
func TestIntermediateNode(t *testing.T) {
	x := scalarInput("x")
	u := graphop.Square(x)                              // 4
	y := graphop.Mul(graphop.Exp(u), graphop.Add(u, x)) // e^u·(u+x)
	feed := map[*graphop.Node][]float64{x: {2}}         //
	e := math.Exp(4)                                    //
	du := e*(4+2) + e                                   // dy/du at fixed x
	d := grad(t, y, u, x, y)                            //
	for i, want := range []float64{du, du*4 + e, 1} {   // dy/dx = dy/du·2x + e^u
		if got := eval(t, feed, d[i])[0]; math.Abs(got-want) > 1e-12*math.Abs(want) {
			t.Errorf("gradient %d is %v, want %v", i, got, want)
		}
	}
}

func TestSeed(t *testing.T) {
	g := gorgonia.NewGraph()
	x := graphop.Input(g, tensor.Float64, "x", 3)
	seed := graphop.Input(g, tensor.Float64, "seed", 3)
	y := graphop.Mul(graphop.Square(x), x)
	d, err := graphop.VJP(y, seed, x, seed)
	if err != nil {
		t.Fatal(err)
	}
	feed := map[*graphop.Node][]float64{x: {1, 2, 3}, seed: {10, -1, 0.5}}
	if got, want := eval(t, feed, d[0]), []float64{30, -12, 13.5}; !slices.Equal(got, want) {
		t.Errorf("seed·dy/dx = %v, want %v", got, want)
	}
	// The product is linear in its seed, so its derivative in the seed is the Jacobian transposed: forward mode.
	tangent := graphop.Input(g, tensor.Float64, "tangent", 3)
	forward, err := graphop.VJP(d[0], tangent, seed)
	if err != nil {
		t.Fatal(err)
	}
	feed[tangent] = []float64{1, 1, 2}
	if got, want := eval(t, feed, forward[0]), []float64{3, 12, 54}; !slices.Equal(got, want) {
		t.Errorf("dy/dx·tangent = %v, want %v", got, want)
	}
}

func TestErrors(t *testing.T) {
	x, y := scalarInput("mine"), scalarInput("elsewhere")
	if _, err := graphop.Grad(graphop.Square(x), y); err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("gradient in a node of another graph: error is %v, want one that names it", err)
	}
	wide := graphop.Input(x.Graph(), tensor.Float64, "wide", 2)
	if _, err := graphop.VJP(graphop.Square(x), wide, x); err == nil {
		t.Error("a seed of another shape was accepted")
	}
	if _, err := graphop.VJP(graphop.Square(x), y, x); err == nil {
		t.Error("a seed of another graph was accepted")
	}
}

// Depth costs memory on the heap, not stack: a chain a hundred times deeper than any network.
func TestDeepChain(t *testing.T) {
	x := scalarInput("x")
	y := x
	const depth = 3000
	for range depth {
		y = graphop.Sin(y)
	}
	d := grad(t, y, x)[0]
	want, v := 1.0, 0.3
	for range depth {
		want *= math.Cos(v)
		v = math.Sin(v)
	}
	if got := eval(t, map[*graphop.Node][]float64{x: {0.3}}, d)[0]; math.Abs(got-want) > 1e-9*math.Abs(want) {
		t.Errorf("derivative of a chain of %d sines is %v, want %v", depth, got, want)
	}
}

// Differentiating twice the same expression gives the same nodes: the graph keeps no state of the first time.
func TestRepeatable(t *testing.T) {
	x := scalarInput("x")
	y := graphop.Mul(graphop.Exp(x), graphop.Sin(x))
	a, b := grad(t, y, x)[0], grad(t, y, x)[0]
	if a != b {
		t.Error("two gradients of one expression are two nodes")
	}
}

func ExampleGrad() {
	g := gorgonia.NewGraph()
	x := graphop.Input(g, tensor.Float64, "x", 1)
	first, _ := graphop.Grad(graphop.Mul(x, graphop.Square(x)), x)
	second, _ := graphop.Grad(first[0], x)
	fmt.Println(len(second), second[0].Shape())
	// Output: 1 (1)
}
