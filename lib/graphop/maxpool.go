package graphop

// SelectMaxOp has two inputs a and b of the same shape. For each window it finds the first maximum of a, in row-major
// order, and returns the element of b at that position. Padding is never selected. A NaN counts as larger than every
// number, so it propagates.
//
// The result is linear in b. The derivative with respect to a is 0, because a small change in a almost never moves a
// maximum. SelectMaxOp and ScatterMaxOp are each other's derivative, so max pooling has derivatives of any order.
type SelectMaxOp struct{ Window Window2D }

// MaxPool2D returns the largest element of each window of x [N,C,H,W] as [N,C,OH,OW]; see Window2D. If the largest
// element occurs several times in a window, its first occurrence gets the derivative.
func MaxPool2D(x *Node, w Window2D) *Node { return selectMax(x, x, w) }

func selectMax(a, b *Node, w Window2D) *Node {
	return apply(&SelectMaxOp{Window: w}, w.results("max pool", a), a, b)
}

// Diff implements Kind.
func (s *SelectMaxOp) Diff(in []*Node, _, g *Node, needed []bool) []*Node {
	out := make([]*Node, 2)
	if needed[1] {
		out[1] = apply(&ScatterMaxOp{Window: s.Window}, in[0].Shape(), in[0], g)
	}
	return out
}

// ScatterMaxOp has inputs a [N,C,H,W] and g [N,C,OH,OW], with one element of g for each window. It starts from zeros
// [N,C,H,W] and adds each element of g at the position of the first maximum of a in the element's window. It is the
// adjoint of SelectMaxOp with respect to the second input.
type ScatterMaxOp struct{ Window Window2D }

// Diff implements Kind.
func (s *ScatterMaxOp) Diff(in []*Node, _, g *Node, needed []bool) []*Node {
	out := make([]*Node, 2)
	if needed[1] {
		out[1] = selectMax(in[0], g, s.Window)
	}
	return out
}
