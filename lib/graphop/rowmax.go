package graphop

import (
	"vapo/lib/blas"
	"vapo/lib/kernel"
)

// Peak is the largest element of each row.
type Peak struct{}

// RowMax returns the largest element of each row of x [M, N] as [M, 1], as a constant: its derivative is 0. It is
// for shifts that cancel, as in softmax, where the true derivative cancels too.
func RowMax(x *Node) *Node {
	s := x.Shape()
	if len(s) != 2 {
		fail("rowmax", "expected a matrix", x)
	}
	s[1] = 1
	return apply(&Peak{}, s, x)
}

// Name implements Kind.
func (*Peak) Name() string { return "rowmax" }

// Diff implements Kind.
func (*Peak) Diff([]*Node, *Node, *Node, []bool) []*Node { return nil }

// Lower implements Kind.
func (*Peak) Lower(op *Operation, _ blas.Library) Kernels {
	n := op.In[0][1]
	return Kernels{
		F32: func(dst []float32, src [][]float32) { kernel.RowMax(dst, src[0], n) },
		F64: func(dst []float64, src [][]float64) { kernel.RowMax(dst, src[0], n) },
	}
}
