package graphop_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	_ "vapo/lib/backend/tape" // sets the evaluator that Operation.Do needs
	"vapo/lib/graphop"
)

// eval computes n with the reference interpreter, given the values of the inputs.
func eval(t *testing.T, inputs map[*graphop.Node][]float64, n *graphop.Node) []float64 {
	t.Helper()
	g := backend.Graph{Outputs: []*graphop.Node{n}}
	var feed [][]float64
	for in, v := range inputs {
		g.Inputs, feed = append(g.Inputs, in), append(feed, v)
	}
	return run(t, g, feed)[0]
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

// Gorgonia's own Grad, applied to its own result, gives a wrong result without an error. If this test fails because
// Gorgonia's result is right, the note in grad.go is out of date.
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
		t.Errorf("Gorgonia's second derivative of x³ at 3 is %v; it used to be 6 instead of 18", got)
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
	// Heaviside has a zero derivative, so the gradient with respect to x is 0 although the graph uses x.
	d := grad(t, graphop.Add(graphop.Heaviside(x), graphop.Fill(x, 1, 1, 1)), x, unused, constant)
	for i, want := range [][]int{{2, 3}, {4, 1}, {2}} {
		if !slices.Equal([]int(d[i].Shape()), want) {
			t.Errorf("gradient %d has shape %v, want %v", i, d[i].Shape(), want)
		}
		for _, v := range eval(t, map[*graphop.Node][]float64{x: make([]float64, 6)}, d[i]) {
			if v != 0 {
				t.Errorf("gradient %d contains %v, want 0", i, v)
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
		{"max(x,x)", graphop.Max(x, x), 1}, // only one of the two operands gets the gradient
	} {
		if got := eval(t, feed, grad(t, c.y, x)[0])[0]; math.Abs(got-c.want) > 1e-15 {
			t.Errorf("d(%s)/dx = %v, want %v", c.name, got, c.want)
		}
	}
}

// Grad accepts an intermediate node u as a variable. The gradient with respect to u treats u as independent. The
// gradient with respect to x, on which u depends, is the total derivative.
func TestIntermediateNode(t *testing.T) {
	x := scalarInput("x")
	u := graphop.Square(x)                              // 4
	y := graphop.Mul(graphop.Exp(u), graphop.Add(u, x)) // e^u·(u+x)
	feed := map[*graphop.Node][]float64{x: {2}}
	e := math.Exp(4)
	du := e*(4+2) + e // dy/du at fixed x
	d := grad(t, y, u, x, y)
	for i, want := range []float64{du, du*4 + e, 1} { // dy/dx = dy/du·2x + e^u
		if got := eval(t, feed, d[i])[0]; math.Abs(got-want) > 1e-12*math.Abs(want) {
			t.Errorf("gradient %d is %v, want %v", i, got, want)
		}
	}
}

func TestJacobianProducts(t *testing.T) {
	g := gorgonia.NewGraph()
	x := graphop.Input(g, tensor.Float64, "x", 3)
	seed := graphop.Input(g, tensor.Float64, "seed", 3)
	y := graphop.Mul(graphop.Square(x), x)
	d := grad(t, graphop.Mul(y, seed), x)
	feed := map[*graphop.Node][]float64{x: {1, 2, 3}, seed: {10, -1, 0.5}}
	if got, want := eval(t, feed, d[0]), []float64{30, -12, 13.5}; !slices.Equal(got, want) {
		t.Errorf("seed·dy/dx = %v, want %v", got, want)
	}
	// seed·dy/dx is linear in seed. Differentiating it with respect to seed, weighted by tangent, gives the
	// Jacobian-vector product of y with tangent.
	tangent := graphop.Input(g, tensor.Float64, "tangent", 3)
	forward := grad(t, graphop.Mul(d[0], tangent), seed)
	feed[tangent] = []float64{1, 1, 2}
	if got, want := eval(t, feed, forward[0]), []float64{3, 12, 54}; !slices.Equal(got, want) {
		t.Errorf("dy/dx·tangent = %v, want %v", got, want)
	}
}

func TestOtherGraph(t *testing.T) {
	x, y := scalarInput("mine"), scalarInput("elsewhere")
	if _, err := graphop.Grad(graphop.Square(x), y); err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("gradient with respect to a node of another graph: error is %v, want one that names the node", err)
	}
}

// Grad does not recurse, so a deep graph cannot exhaust the stack.
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

// Two calls of Grad for one expression return the same nodes, because Grad keeps no state in the graph.
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
