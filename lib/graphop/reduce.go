package graphop

import (
	"fmt"
	"slices"

	"vapo/lib/blas"
	"vapo/lib/kernel"
)

// SumAxes adds up the axes of a tensor and keeps them with size 1.
type SumAxes struct{ Axes []int }

// Sum adds x up over the given axes (all of them if none is given), which stay with size 1. Its adjoint is Broadcast.
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
	return apply(&SumAxes{Axes: slices.Compact(kept)}, out, x)
}

// Mean averages x over the given axes (all of them if none is given), which stay with size 1.
func Mean(x *Node, axes ...int) *Node {
	y := Sum(x, axes...)
	return Scale(y, float64(y.Shape().TotalSize())/float64(x.Shape().TotalSize()))
}

// SumTo adds x up over the dimensions in which shape is 1: the adjoint of Broadcast.
func SumTo(x *Node, shape ...int) *Node {
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

// Name implements Kind.
func (s *SumAxes) Name() string { return fmt.Sprintf("sum%v", s.Axes) }

// Diff implements Kind.
func (s *SumAxes) Diff(in []*Node, _, g *Node, _ []bool) []*Node {
	return []*Node{Broadcast(g, in[0].Shape()...)}
}

// Lower implements Kind.
func (s *SumAxes) Lower(op *Operation, _ blas.Library) Kernels {
	return lower32and64(op,
		func() func([]float32, [][]float32) { return lowerSum[float32](s.Axes, op.In[0]) },
		func() func([]float64, [][]float64) { return lowerSum[float64](s.Axes, op.In[0]) })
}

// lowerSum reduces neighbouring axes together, innermost group first.
func lowerSum[T kernel.Float](axes, shape []int) func([]T, [][]T) {
	shape = slices.Clone(shape)
	type stage struct {
		k   *kernel.Sum[T]
		tmp []T
	}
	var stages []stage
	for hi := len(axes); hi > 0; {
		lo := hi - 1
		for lo > 0 && axes[lo-1] == axes[lo]-1 {
			lo--
		}
		outer, axis, inner := 1, 1, 1
		for d, n := range shape {
			switch {
			case d < axes[lo]:
				outer *= n
			case d <= axes[hi-1]:
				axis *= n
				shape[d] = 1
			default:
				inner *= n
			}
		}
		stages = append(stages, stage{k: kernel.NewSum[T](outer, axis, inner), tmp: make([]T, outer*inner)})
		hi = lo
	}
	last := len(stages) - 1
	stages[last].tmp = nil
	return func(dst []T, src [][]T) {
		in := src[0]
		for _, s := range stages[:last] {
			s.k.Run(s.tmp, in)
			in = s.tmp
		}
		stages[last].k.Run(dst, in)
	}
}
