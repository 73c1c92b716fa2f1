package graphop

import (
	"fmt"
	"slices"
)

// SumOp sums a tensor over Axes, which are sorted. A summed axis stays in the shape with size 1. An axis between two
// summed axes is itself summed or has size 1, so engines can treat the summed axes as one.
type SumOp struct{ Axes []int }

// Sum returns the sum of x over the given axes, or over all axes if none are given. Summed axes stay in the shape with
// size 1. The adjoint of Sum is Broadcast.
func Sum(x *Node, axes ...int) *Node {
	s := x.Shape()
	if len(axes) == 0 {
		for d := range s {
			axes = append(axes, d)
		}
	}
	var kept []int
	out := s.Clone()
	count := 1
	for _, d := range axes {
		if d < 0 || d >= len(s) {
			fail("sum", fmt.Sprintf("axis %d is out of range", d), x)
		}
		if s[d] != 1 {
			kept = append(kept, d)
			out[d] = 1
			count *= s[d]
		}
	}
	if len(kept) == 0 {
		return x
	}
	if v, ok := isFill(x); ok {
		return Fill(x, v*float64(count), out...)
	}
	slices.Sort(kept)
	kept = slices.Compact(kept)
	// Sum each run of adjacent axes separately, the innermost run first.
	for i := len(kept) - 1; i > 0; i-- {
		if between := s[kept[i-1]+1 : kept[i]]; between.TotalSize() > 1 {
			return Sum(Sum(x, kept[i:]...), kept[:i]...)
		}
	}
	return apply(&SumOp{Axes: kept}, out, x)
}

// Mean returns the mean of x over the given axes, or over all axes if none are given. Averaged axes stay in the shape
// with size 1.
func Mean(x *Node, axes ...int) *Node {
	y := Sum(x, axes...)
	return Scale(y, float64(y.Shape().TotalSize())/float64(x.Shape().TotalSize()))
}

// sumTo sums x over the dimensions in which shape is 1. It is the adjoint of Broadcast.
func sumTo(x *Node, shape ...int) *Node {
	s := x.Shape()
	if len(s) != len(shape) {
		fail("sum to", fmt.Sprintf("rank differs from the target %v", shape), x)
	}
	var axes []int
	for d := range s {
		if s[d] != shape[d] {
			if shape[d] != 1 {
				fail("sum to", fmt.Sprintf("dimension %d does not fit the target %v", d, shape), x)
			}
			axes = append(axes, d)
		}
	}
	if len(axes) == 0 {
		return Broadcast(x, shape...)
	}
	return Sum(x, axes...)
}

// Diff implements Kind.
func (s *SumOp) Diff(in []*Node, _, g *Node, _ []bool) []*Node {
	return []*Node{Broadcast(g, in[0].Shape()...)}
}
