package graphop

import (
	"fmt"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// chain returns the roots of a training step of a chain of marked blocks: the loss, which contains the gradient with
// respect to x, and the gradient of the loss with respect to the weights. Every block draws a dropout mask.
func chain(t *testing.T, blocks int) []*Node {
	t.Helper()
	g := gorgonia.NewGraph()
	x, key := Input(g, tensor.Float64, "x", 7, 5), Input(g, tensor.Float64, "key", len(PhiloxKey(0, 0)))
	var weights []*Node
	h := Boundary(Sin(x))
	for i := range blocks {
		w := Input(g, tensor.Float64, fmt.Sprintf("w%d", i), 5, 5)
		weights = append(weights, w)
		h = Boundary(Add(h, Exp(Dropout(Sin(MatMul(h, w, false, false)), key, fmt.Sprintf("draw%d", i), 0.5))))
	}
	field, err := Grad(h, x)
	if err != nil {
		t.Fatal(err)
	}
	loss := Mean(Reshape(Square(field[0]), 35))
	grads, err := Grad(loss, weights...)
	if err != nil {
		t.Fatal(err)
	}
	return append(grads, loss)
}

// crossing counts large values, other than marks, that are read in a later section than their own.
func crossing(roots []*Node) (n int) {
	order := Order(roots...)
	section := map[*Node]int{}
	for m, s := range numberSections(order) {
		section[m] = s
	}
	seen := map[*Node]bool{}
	for _, m := range order {
		for _, c := range Children(m) {
			large := Of(c) != nil && len(Children(c)) > 0 && c.Shape().TotalSize() >= 35 && c.Shape()[0] == 7
			if large && !isMark(c) && section[c] < section[m] && !seen[c] {
				seen[c] = true
				n++
			}
		}
	}
	return n
}

// After the pass, no large value except marks is kept from one section to a later one. The shapes of the roots do not
// change, and a second pass changes nothing.
func TestRematerialise(t *testing.T) {
	for _, blocks := range []int{1, 2, 5} {
		roots := chain(t, blocks)
		if crossing(roots) == 0 {
			t.Fatalf("%d blocks: no large value is read in a later section, so the test checks nothing", blocks)
		}
		again, err := Rematerialise(roots...)
		if err != nil {
			t.Fatal(err)
		}
		if n := crossing(again); n > 0 {
			t.Errorf("%d blocks: %d large values are still kept for a later section, want 0", blocks, n)
		}
		for i, n := range again {
			if !SameShape(n.Shape(), roots[i].Shape()) {
				t.Errorf("root %d has shape %v, want %v", i, n.Shape(), roots[i].Shape())
			}
		}
		twice, err := Rematerialise(again...)
		if err != nil {
			t.Fatal(err)
		}
		for i := range again {
			if twice[i] != again[i] {
				t.Errorf("a second pass changes root %d", i)
			}
		}
	}
}

// A graph without marks does not change, nor does its order.
func TestRematerialiseNothing(t *testing.T) {
	x := inputs([]int{2, 3})[0]
	y := Exp(Sin(x))
	d, err := Grad(y, x)
	if err != nil {
		t.Fatal(err)
	}
	out, err := Rematerialise(y, d[0])
	if err != nil || out[0] != y || out[1] != d[0] {
		t.Errorf("got %v (%v), want the same nodes", out, err)
	}
	order := Order(out...)
	for i, n := range Sections(order) {
		if n != order[i] {
			t.Errorf("the order by sections differs from the given order at node %d", i)
		}
	}
}

// In an order by sections, every node comes after its children.
func TestSections(t *testing.T) {
	roots, err := Rematerialise(chain(t, 3)...)
	if err != nil {
		t.Fatal(err)
	}
	order := Order(roots...)
	at := map[*Node]int{}
	sorted := Sections(order)
	for i, n := range sorted {
		at[n] = i
		for _, c := range Children(n) {
			if _, before := at[c]; !before {
				t.Fatalf("%v comes before its operand %v", n, c)
			}
		}
	}
	if len(sorted) != len(order) {
		t.Errorf("the order by sections has %d nodes, want %d", len(sorted), len(order))
	}
}

// A constant takes no memory and is not marked.
func TestBoundaryOfConstant(t *testing.T) {
	one := Fill(inputs([]int{2})[0], 1, 2)
	if Boundary(one) != one {
		t.Error("a constant was marked")
	}
}
