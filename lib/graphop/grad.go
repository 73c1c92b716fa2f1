package graphop

import (
	"fmt"
	"slices"
)

// Note: Gorgonia's own Grad is not used, because it cannot be applied to its own results. It stores each node's
// derivative in the node. A second call finds the derivatives of the first call and returns a wrong result without an
// error: for the second derivative of x³ at 3 it returns 6 instead of 18 (see TestGorgoniaGradOfGrad). The Grad of this
// package stores nothing in the graph: it walks the graph's edges and builds each operation's vector-Jacobian product.

// Grad differentiates the sum of y's elements. It returns one gradient for each variable in wrt, in the variable's
// shape. Any node of y's graph may be a variable. Grad adds nodes to the graph of y. If y does not depend on a
// variable, that variable's gradient is 0. The vector-Jacobian product of y with a vector v is Grad(Mul(y, v), ...).
func Grad(y *Node, wrt ...*Node) (out []*Node, err error) {
	for _, w := range wrt {
		if w.Graph() != y.Graph() {
			return nil, fmt.Errorf("gradient with respect to %s: it belongs to another graph", w.Name())
		}
	}
	if err := Build(func() { out = gradients(y, wrt) }); err != nil {
		return nil, fmt.Errorf("differentiate: %w", err)
	}
	return out, nil
}

func gradients(y *Node, wrt []*Node) []*Node {
	order := Order(y)
	active := map[*Node]bool{} // the nodes that depend on a variable
	for _, w := range wrt {
		active[w] = true
	}
	for _, n := range order {
		active[n] = active[n] || slices.ContainsFunc(Children(n), func(c *Node) bool { return active[c] })
	}
	grads := map[*Node]*Node{y: Fill(y, 1, y.Shape()...)}
	for _, n := range slices.Backward(order) {
		op, g := Of(n), grads[n]
		if g == nil || op == nil {
			continue
		}
		children := Children(n)
		needed := make([]bool, len(children))
		for k, c := range children {
			needed[k] = active[c]
		}
		if !slices.Contains(needed, true) {
			continue
		}
		for k, d := range op.Kind.Diff(children, n, g, needed) {
			c := children[k]
			if d == nil || !needed[k] {
				continue
			}
			if !SameShape(d.Shape(), c.Shape()) {
				const message = "the derivative with respect to input %d has shape %v, expected %v"
				fail(op.String(), fmt.Sprintf(message, k, d.Shape(), c.Shape()), children...)
			}
			if sum := grads[c]; sum != nil {
				d = Add(sum, d)
			}
			grads[c] = d
		}
	}
	out := make([]*Node, len(wrt))
	for i, w := range wrt {
		if out[i] = grads[w]; out[i] == nil {
			out[i] = Fill(w, 0, w.Shape()...)
		}
	}
	return out
}

// Order returns the roots and all nodes that they are computed from, in topological order: children first. Order does
// not recurse, so a deep graph cannot exhaust the stack.
func Order(roots ...*Node) []*Node {
	var order []*Node
	entered, done := map[*Node]bool{}, map[*Node]bool{}
	for _, r := range roots {
		for stack := []*Node{r}; len(stack) > 0; {
			n := stack[len(stack)-1]
			if !entered[n] {
				entered[n] = true
				children := Children(n)
				slices.Reverse(children)
				stack = append(stack, children...)
				continue
			}
			stack = stack[:len(stack)-1]
			if !done[n] {
				done[n] = true
				order = append(order, n)
			}
		}
	}
	return order
}
