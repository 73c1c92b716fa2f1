package graphop

import (
	"fmt"

	"vapo/lib/blas"
	"vapo/lib/kernel"
)

// Window cuts [From, To) out of one axis.
type Window struct{ Axis, From, To int }

// Slice returns x[..., from:to, ...] along one axis. Its adjoint is Pad.
func Slice(x *Node, axis, from, to int) *Node {
	s := x.Shape()
	if axis < 0 || axis >= len(s) || from < 0 || from >= to || to > s[axis] {
		fail("slice", fmt.Sprintf("[%d:%d] does not lie on axis %d", from, to, axis), x)
	}
	if from == 0 && to == s[axis] {
		return x
	}
	s[axis] = to - from
	return apply(&Window{Axis: axis, From: from, To: to}, s, x)
}

// Name implements Kind.
func (w *Window) Name() string { return fmt.Sprintf("slice(%d,%d:%d)", w.Axis, w.From, w.To) }

// Diff implements Kind.
func (w *Window) Diff(in []*Node, _, g *Node, _ []bool) []*Node {
	return []*Node{Pad(g, w.Axis, w.From, in[0].Shape()[w.Axis]-w.To)}
}

// Lower implements Kind.
func (w *Window) Lower(op *Operation, _ blas.Library) Kernels {
	outer, inner := around(op.In[0], w.Axis)
	from, to := op.In[0][w.Axis], op.Out[w.Axis]
	return Kernels{
		F32: func(dst []float32, src [][]float32) {
			kernel.Segments(dst, to, 0, src[0], from, w.From, to, outer, inner)
		},
		F64: func(dst []float64, src [][]float64) {
			kernel.Segments(dst, to, 0, src[0], from, w.From, to, outer, inner)
		},
	}
}

// Margin puts zeros before and after one axis.
type Margin struct{ Axis, Before, After int }

// Pad returns x with zeros before and after one axis. Its adjoint is Slice.
func Pad(x *Node, axis, before, after int) *Node {
	s := x.Shape()
	if axis < 0 || axis >= len(s) || before < 0 || after < 0 {
		fail("pad", fmt.Sprintf("axis %d by %d and %d", axis, before, after), x)
	}
	if before == 0 && after == 0 {
		return x
	}
	s[axis] += before + after
	return apply(&Margin{Axis: axis, Before: before, After: after}, s, x)
}

// Name implements Kind.
func (m *Margin) Name() string { return fmt.Sprintf("pad(%d,%d,%d)", m.Axis, m.Before, m.After) }

// Diff implements Kind.
func (m *Margin) Diff(in []*Node, _, g *Node, _ []bool) []*Node {
	return []*Node{Slice(g, m.Axis, m.Before, m.Before+in[0].Shape()[m.Axis])}
}

// Lower implements Kind.
func (m *Margin) Lower(op *Operation, _ blas.Library) Kernels {
	outer, inner := around(op.In[0], m.Axis)
	n, to := op.In[0][m.Axis], op.Out[m.Axis]
	return Kernels{
		F32: func(dst []float32, src [][]float32) {
			clear(dst)
			kernel.Segments(dst, to, m.Before, src[0], n, 0, n, outer, inner)
		},
		F64: func(dst []float64, src [][]float64) {
			clear(dst)
			kernel.Segments(dst, to, m.Before, src[0], n, 0, n, outer, inner)
		},
	}
}

// Join lays tensors one after the other along an axis.
type Join struct{ Axis int }

// Concat returns the inputs one after the other along an axis. Its adjoint is Slice.
func Concat(axis int, in ...*Node) *Node {
	if len(in) == 0 {
		fail("concat", "expected one or more tensors")
	}
	if len(in) == 1 {
		return in[0]
	}
	s := in[0].Shape()
	if axis < 0 || axis >= len(s) {
		fail("concat", fmt.Sprintf("axis %d is out of range", axis), in...)
	}
	for _, n := range in[1:] {
		t := n.Shape()
		if len(t) != len(s) {
			fail("concat", "ranks differ", in...)
		}
		for d := range t {
			if d != axis && t[d] != s[d] {
				fail("concat", fmt.Sprintf("dimension %d differs", d), in...)
			}
		}
		s[axis] += t[axis]
	}
	return apply(&Join{Axis: axis}, s, in...)
}

// Name implements Kind.
func (j *Join) Name() string { return fmt.Sprintf("concat(%d)", j.Axis) }

// Diff implements Kind.
func (j *Join) Diff(in []*Node, _, g *Node, needed []bool) []*Node {
	out := make([]*Node, len(in))
	at := 0
	for i, n := range in {
		size := n.Shape()[j.Axis]
		if needed[i] {
			out[i] = Slice(g, j.Axis, at, at+size)
		}
		at += size
	}
	return out
}

// Lower implements Kind.
func (j *Join) Lower(op *Operation, _ blas.Library) Kernels {
	return lower32and64(op,
		func() func([]float32, [][]float32) { return lowerJoin[float32](op, j.Axis) },
		func() func([]float64, [][]float64) { return lowerJoin[float64](op, j.Axis) })
}

func lowerJoin[T kernel.Float](op *Operation, axis int) func([]T, [][]T) {
	outer, inner := around(op.Out, axis)
	return func(dst []T, src [][]T) {
		at := 0
		for i, s := range src {
			n := op.In[i][axis]
			kernel.Segments(dst, op.Out[axis], at, s, n, 0, n, outer, inner)
			at += n
		}
	}
}

// around returns the number of elements outside and inside of an axis.
func around(s []int, axis int) (outer, inner int) {
	outer, inner = 1, 1
	for d, n := range s {
		if d < axis {
			outer *= n
		} else if d > axis {
			inner *= n
		}
	}
	return outer, inner
}
