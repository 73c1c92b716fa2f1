package graphop

import "fmt"

// Note: Gorgonia's own Grad is not used. It keeps the derivative of a node on the node itself, so a second
// application finds the derivatives of the first and returns a wrong number without an error: the second
// derivative of x³ at 3 comes out as 6 instead of 18 (TestGorgoniaGradOfGrad shows it). VJP keeps no state in the
// graph: it walks the graph's edges and asks each operation for its vector-Jacobian product.

// Grad returns the gradients in wrt of the sum of y's elements, each in the shape of its variable. It adds nodes
// to the graph of y; a variable that y does not depend on gets zeros.
func Grad(y *Node, wrt ...*Node) ([]*Node, error) { return VJP(y, nil, wrt...) }

// VJP returns the vector-Jacobian products seed·dy/dw for each w of wrt; seed has the shape of y, nil stands for ones.
func VJP(y, seed *Node, wrt ...*Node) (out []*Node, err error) {
	for _, w := range wrt {
		if w.Graph() != y.Graph() {
			return nil, fmt.Errorf("gradient in %s: it belongs to another graph", w.Name())
		}
	}
	if seed != nil && (seed.Graph() != y.Graph() || !SameShape(seed.Shape(), y.Shape())) {
		return nil, fmt.Errorf("gradient of a value of shape %v: the seed has shape %v or belongs to another graph",
			y.Shape(), seed.Shape())
	}
	if buildErr := Build(func() { out, err = vjp(y, seed, wrt) }); buildErr != nil {
		return nil, fmt.Errorf("differentiate: %w", buildErr)
	}
	return out, err
}

func vjp(y, seed *Node, wrt []*Node) ([]*Node, error) {
	order := Order(y)
	active := map[*Node]bool{} // the nodes that depend on a variable of wrt
	for _, w := range wrt {
		active[w] = true
	}
	for _, n := range order {
		for _, c := range Children(n) {
			if active[c] {
				active[n] = true
			}
		}
	}
	if seed == nil {
		seed = Fill(y, 1, y.Shape()...)
	}
	grads := map[*Node]*Node{y: seed}
	for i := len(order) - 1; i >= 0; i-- {
		n := order[i]
		g := grads[n]
		op := Of(n)
		if g == nil || op == nil || !active[n] {
			continue
		}
		children := Children(n)
		needed := make([]bool, len(children))
		any := false
		for k, c := range children {
			needed[k] = active[c]
			any = any || needed[k]
		}
		if !any { // n is itself a variable of wrt
			continue
		}
		for k, p := range op.Kind.Diff(children, n, g, needed) {
			if p == nil || !needed[k] {
				continue
			}
			c := children[k]
			if !SameShape(p.Shape(), c.Shape()) {
				return nil, fmt.Errorf("derivative of %s in input %d has shape %v, expected %v", op, k, p.Shape(), c.Shape())
			}
			if have := grads[c]; have != nil {
				p = Add(have, p)
			}
			grads[c] = p
		}
	}
	out := make([]*Node, len(wrt))
	for i, w := range wrt {
		if out[i] = grads[w]; out[i] == nil {
			out[i] = Fill(w, 0, w.Shape()...)
		}
	}
	return out, nil
}

// Order returns the nodes that the roots are computed from, the roots included, in topological order: children first.
// It is iterative, so that a deep graph does not exhaust the stack.
func Order(roots ...*Node) []*Node {
	type frame struct {
		n        *Node
		children []*Node
		next     int
	}
	var order []*Node
	seen := map[*Node]bool{}
	for _, r := range roots {
		if seen[r] {
			continue
		}
		seen[r] = true
		stack := []frame{{n: r, children: Children(r)}}
		for len(stack) > 0 {
			f := &stack[len(stack)-1]
			if f.next < len(f.children) {
				c := f.children[f.next]
				f.next++
				if !seen[c] {
					seen[c] = true
					stack = append(stack, frame{n: c, children: Children(c)})
				}
				continue
			}
			order = append(order, f.n)
			stack = stack[:len(stack)-1]
		}
	}
	return order
}
