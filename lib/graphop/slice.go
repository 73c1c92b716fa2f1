package graphop

import "fmt"

// SliceOp selects [From, To) on one axis.
type SliceOp struct{ Axis, From, To int }

// Slice returns x[..., from:to, ...] along one axis. Its adjoint is Pad.
func Slice(x *Node, axis, from, to int) *Node {
	s := x.Shape()
	if axis < 0 || axis >= len(s) || from < 0 || from >= to || to > s[axis] {
		fail("slice", fmt.Sprintf("[%d:%d] is out of range on axis %d", from, to, axis), x)
	}
	if from == 0 && to == s[axis] {
		return x
	}
	s[axis] = to - from
	return apply(&SliceOp{Axis: axis, From: from, To: to}, s, x)
}

// Diff implements Kind.
func (w *SliceOp) Diff(in []*Node, _, g *Node, _ []bool) []*Node {
	return []*Node{Pad(g, w.Axis, w.From, in[0].Shape()[w.Axis]-w.To)}
}

// PadOp adds zeros at the start and at the end of one axis.
type PadOp struct{ Axis, Before, After int }

// Pad returns x padded with zeros along one axis; before and after are the numbers of zeros at its start and end. Its
// adjoint is Slice.
func Pad(x *Node, axis, before, after int) *Node {
	s := x.Shape()
	if axis < 0 || axis >= len(s) || before < 0 || after < 0 {
		fail("pad", fmt.Sprintf("cannot pad axis %d with %d and %d zeros", axis, before, after), x)
	}
	if before == 0 && after == 0 {
		return x
	}
	s[axis] += before + after
	return apply(&PadOp{Axis: axis, Before: before, After: after}, s, x)
}

// Diff implements Kind.
func (m *PadOp) Diff(in []*Node, _, g *Node, _ []bool) []*Node {
	return []*Node{Slice(g, m.Axis, m.Before, m.Before+in[0].Shape()[m.Axis])}
}

// ConcatOp concatenates tensors along an axis.
type ConcatOp struct{ Axis int }

// Concat returns the inputs concatenated along an axis; their other dimensions must be equal. Its adjoint is Slice.
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
	return apply(&ConcatOp{Axis: axis}, s, in...)
}

// Diff implements Kind.
func (j *ConcatOp) Diff(in []*Node, _, g *Node, needed []bool) []*Node {
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
