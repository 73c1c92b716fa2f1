package graphop

import (
	"fmt"

	"vapo/lib/blas"
	"vapo/lib/kernel"
)

// SelectMax (a, b) takes from each window of b the element at the place of the first maximum, row by row, of that window
// of a. Padding is never chosen; a NaN counts as larger than every number, so it shows.
//
// With the places held fixed, as they are almost everywhere, the selection is linear in b and constant in a. So the
// derivatives of SelectMax and ScatterMax are each other, and max pooling can be differentiated to any order.
type SelectMax struct{ Window Window2D }

// MaxPool2D returns the largest element of each window of x [N,C,H,W], as [N,C,OH,OW]; see Window2D and WindowSum.
// Where several are largest the derivative is the first one's.
func MaxPool2D(x *Node, w Window2D) *Node { return selectMax(x, x, w) }

func selectMax(a, b *Node, w Window2D) *Node {
	return apply(&SelectMax{Window: w}, w.results("max pool", a), a, b)
}

// Name implements Kind.
func (s *SelectMax) Name() string { return fmt.Sprintf("selectmax(%v)", s.Window) }

// Diff implements Kind.
func (s *SelectMax) Diff(in []*Node, _, g *Node, needed []bool) []*Node {
	out := make([]*Node, 2)
	if needed[1] {
		out[1] = apply(&ScatterMax{Window: s.Window}, in[0].Shape(), in[0], g)
	}
	return out
}

// Lower implements Kind.
func (s *SelectMax) Lower(op *Operation, _ blas.Library) Kernels {
	shape := s.Window.over(op.In[0])
	return lower32and64(op,
		func() func([]float32, [][]float32) {
			k := kernel.NewSelectMax[float32](shape)
			return func(dst []float32, src [][]float32) { k.Run(dst, src[0], src[1]) }
		},
		func() func([]float64, [][]float64) {
			k := kernel.NewSelectMax[float64](shape)
			return func(dst []float64, src [][]float64) { k.Run(dst, src[0], src[1]) }
		})
}

// ScatterMax (a, g) adds each element of g [N,C,OH,OW] to an image of zeros [N,C,H,W] at the place of the first maximum
// of its window of a: the adjoint of SelectMax in its second input.
type ScatterMax struct{ Window Window2D }

// Name implements Kind.
func (s *ScatterMax) Name() string { return fmt.Sprintf("scattermax(%v)", s.Window) }

// Diff implements Kind.
func (s *ScatterMax) Diff(in []*Node, _, g *Node, needed []bool) []*Node {
	out := make([]*Node, 2)
	if needed[1] {
		out[1] = selectMax(in[0], g, s.Window)
	}
	return out
}

// Lower implements Kind.
func (s *ScatterMax) Lower(op *Operation, _ blas.Library) Kernels {
	shape := s.Window.over(op.Out)
	return lower32and64(op,
		func() func([]float32, [][]float32) {
			k := kernel.NewScatterMax[float32](shape)
			return func(dst []float32, src [][]float32) { k.Run(dst, src[0], src[1]) }
		},
		func() func([]float64, [][]float64) {
			k := kernel.NewScatterMax[float64](shape)
			return func(dst []float64, src [][]float64) { k.Run(dst, src[0], src[1]) }
		})
}
