package graphop

import (
	"vapo/lib/blas"
	"vapo/lib/kernel"
)

// SoftMax is e^x over its sum along the last axis.
type SoftMax struct{}

// Softmax returns e^x / sum e^x along the last axis of x, of any rank from 2. The largest element is subtracted first,
// so finite rows give finite results that sum to 1; a row with +Inf or NaN in it becomes NaN.
func Softmax(x *Node) *Node {
	if s := x.Shape(); len(s) < 2 {
		fail("softmax", "expected rank 2 or more (reshape a vector to [1, n])", x)
	}
	return apply(&SoftMax{}, x.Shape(), x)
}

// Name implements Kind.
func (*SoftMax) Name() string { return "softmax" }

// Diff implements Kind: y·(g - sum(g·y)), the sum along the last axis.
func (*SoftMax) Diff(in []*Node, y, g *Node, _ []bool) []*Node {
	return []*Node{Mul(y, Sub(g, Sum(Mul(g, y), in[0].Dims()-1)))}
}

// Lower implements Kind.
func (*SoftMax) Lower(op *Operation, _ blas.Library) Kernels {
	n := op.Out[len(op.Out)-1]
	rows := op.Out.TotalSize() / n
	return lower32and64(op,
		func() func([]float32, [][]float32) {
			k := kernel.NewSoftmax[float32](rows, n)
			return func(dst []float32, src [][]float32) { k.Run(dst, src[0]) }
		},
		func() func([]float64, [][]float64) {
			k := kernel.NewSoftmax[float64](rows, n)
			return func(dst []float64, src [][]float64) { k.Run(dst, src[0]) }
		})
}
