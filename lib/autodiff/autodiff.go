// Package autodiff is reverse-mode differentiation of expression graphs that may be applied to its own result.
//
// Note: Gorgonia's own Grad is not used. It keeps the derivative of a node on the node itself, so a second
// application finds the derivatives of the first and returns a wrong number without an error: the second
// derivative of x³ at 3 comes out as 6 instead of 18 (TestGorgoniaGradOfGrad shows it). This package keeps no
// state in the graph: it walks the graph's edges and asks each operation for its vector-Jacobian product.
package autodiff

import (
	"fmt"

	"vapo/lib/graphop"
)

// Grad returns the gradients in wrt of the sum of y's elements, each in the shape of its variable. It adds nodes
// to the graph of y; a variable that y does not depend on gets zeros.
func Grad(y *graphop.Node, wrt ...*graphop.Node) ([]*graphop.Node, error) {
	return VJP(y, nil, wrt...)
}

// VJP returns the vector-Jacobian products seed·dy/dw for each w of wrt; seed has the shape of y, nil stands for ones.
func VJP(y, seed *graphop.Node, wrt ...*graphop.Node) (out []*graphop.Node, err error) {
	for _, w := range wrt {
		if w.Graph() != y.Graph() {
			return nil, fmt.Errorf("gradient in %s: it belongs to another graph", w.Name())
		}
	}
	if seed != nil && (seed.Graph() != y.Graph() || !graphop.SameShape(seed.Shape(), y.Shape())) {
		return nil, fmt.Errorf("gradient of a value of shape %v: the seed has shape %v or belongs to another graph", y.Shape(), seed.Shape())
	}
	buildErr := graphop.Build(func() { out, err = vjp(y, seed, wrt) })
	if buildErr != nil {
		return nil, fmt.Errorf("differentiate: %w", buildErr)
	}
	return out, err
}

func vjp(y, seed *graphop.Node, wrt []*graphop.Node) ([]*graphop.Node, error) {
	active := make(map[*graphop.Node]bool) // does the node depend on a variable of wrt?
	for _, w := range wrt {
		active[w] = true
	}
	order := dependants(y, active)
	if seed == nil {
		seed = graphop.Fill(y, 1, y.Shape()...)
	}
	grads := map[*graphop.Node]*graphop.Node{y: seed}
	for i := len(order) - 1; i >= 0; i-- {
		n := order[i]
		g := grads[n]
		op := graphop.Of(n)
		if g == nil || op == nil || !active[n] {
			continue
		}
		children := graphop.Children(n)
		needed := make([]bool, len(children))
		any := false
		for k, c := range children {
			needed[k] = active[c]
			any = any || needed[k]
		}
		if !any {
			continue
		}
		parts := op.Kind.Diff(children, n, g, needed)
		for k, p := range parts {
			if p == nil || !needed[k] {
				continue
			}
			c := children[k]
			if !graphop.SameShape(p.Shape(), c.Shape()) {
				return nil, fmt.Errorf("derivative of %s in input %d has shape %v, expected %v", op, k, p.Shape(), c.Shape())
			}
			if have := grads[c]; have != nil {
				p = graphop.Add(have, p)
			}
			grads[c] = p
		}
	}
	out := make([]*graphop.Node, len(wrt))
	for i, w := range wrt {
		if out[i] = grads[w]; out[i] == nil {
			out[i] = graphop.Fill(w, 0, w.Shape()...)
		}
	}
	return out, nil
}

// dependants returns the nodes below y in topological order, children first, and completes active.
// It is iterative: deep graphs must not exhaust the stack.
func dependants(y *graphop.Node, active map[*graphop.Node]bool) []*graphop.Node {
	type frame struct {
		n        *graphop.Node
		children []*graphop.Node
		next     int
	}
	var order []*graphop.Node
	seen := map[*graphop.Node]bool{y: true}
	stack := []frame{{n: y, children: graphop.Children(y)}}
	for len(stack) > 0 {
		f := &stack[len(stack)-1]
		if f.next < len(f.children) {
			c := f.children[f.next]
			f.next++
			if !seen[c] {
				seen[c] = true
				stack = append(stack, frame{n: c, children: graphop.Children(c)})
			}
			continue
		}
		for _, c := range f.children {
			if active[c] {
				active[f.n] = true
			}
		}
		order = append(order, f.n)
		stack = stack[:len(stack)-1]
	}
	return order
}
