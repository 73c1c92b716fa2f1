package graphop

// BoundaryOp returns its first operand, and is computed after all of its operands. Engines implement it without a copy.
// They must not merge a value after a boundary with an equal value before it, and must not compute the readers of a
// boundary before all of its operands are known.
type BoundaryOp struct{}

// Boundary marks x, the input or output of a block of a network, as a value from which Rematerialise can compute the
// inside of the block again. A constant made by Fill takes no memory, so Boundary returns it unmarked. The derivative
// of a boundary is a boundary, so marks in a network also divide its reverse-mode passes into blocks.
func Boundary(x *Node) *Node {
	if _, ok := isFill(x); ok {
		return x
	}
	return apply(&BoundaryOp{}, x.Shape(), x)
}

// after returns x as a node that can be read only once the token is known.
func after(x, token *Node) *Node { return apply(&BoundaryOp{}, x.Shape(), x, token) }

// Diff implements Kind.
func (*BoundaryOp) Diff(in []*Node, _, g *Node, _ []bool) []*Node {
	out := make([]*Node, len(in))
	out[0] = Boundary(g)
	return out
}

// isMark reports whether n was made by Boundary.
func isMark(n *Node) bool {
	_, ok := kindOf[*BoundaryOp](n)
	return ok && len(Children(n)) == 1
}

// Sections returns the nodes of a topological order, sorted by the largest number of marks on a path to each node. In a
// graph without marks, that is the order itself. The order of nodes with equal numbers does not change. An engine that
// computes nodes in this order computes the gradient of a block's weights before the next block, and can then free the
// values that only this gradient needed.
func Sections(order []*Node) []*Node {
	var sections [][]*Node
	for n, s := range numberSections(order) {
		for len(sections) <= s {
			sections = append(sections, nil)
		}
		sections[s] = append(sections[s], n)
	}
	out := order[:0:0]
	for _, s := range sections {
		out = append(out, s...)
	}
	return out
}
