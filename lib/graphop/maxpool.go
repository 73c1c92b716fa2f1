package graphop

import "fmt"

// SelectMaxOp (a, b) takes from each window of b the element at the position of the first maximum, in row-major order,
// of that window of a. Padding is never selected; a NaN counts as larger than every number, so it propagates.
//
// The positions are locally constant almost everywhere, so the selection is linear in b and constant in a. SelectMaxOp
// and ScatterMaxOp are each other's derivative, and max pooling has derivatives of any order.
type SelectMaxOp struct{ Window Window2D }

// MaxPool2D returns the largest element of each window of x [N,C,H,W] as [N,C,OH,OW]; see Window2D. If several elements
// are largest, the first gets the derivative.
func MaxPool2D(x *Node, w Window2D) *Node { return selectMax(x, x, w) }

func selectMax(a, b *Node, w Window2D) *Node {
	return apply(&SelectMaxOp{Window: w}, w.results("max pool", a), a, b)
}

// Name implements Kind.
func (s *SelectMaxOp) Name() string { return fmt.Sprintf("selectmax(%v)", s.Window) }

// Diff implements Kind.
func (s *SelectMaxOp) Diff(in []*Node, _, g *Node, needed []bool) []*Node {
	out := make([]*Node, 2)
	if needed[1] {
		out[1] = apply(&ScatterMaxOp{Window: s.Window}, in[0].Shape(), in[0], g)
	}
	return out
}

// ScatterMaxOp (a, g) adds each element of g [N,C,OH,OW] to an image of zeros [N,C,H,W] at the position of the first
// maximum of its window of a. It is the adjoint of SelectMaxOp in its second input.
type ScatterMaxOp struct{ Window Window2D }

// Name implements Kind.
func (s *ScatterMaxOp) Name() string { return fmt.Sprintf("scattermax(%v)", s.Window) }

// Diff implements Kind.
func (s *ScatterMaxOp) Diff(in []*Node, _, g *Node, needed []bool) []*Node {
	out := make([]*Node, 2)
	if needed[1] {
		out[1] = selectMax(in[0], g, s.Window)
	}
	return out
}
