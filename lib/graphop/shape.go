package graphop

import (
	"fmt"
	"slices"

	"gorgonia.org/tensor"
)

// ReshapeOp gives the elements of a tensor another shape. Engines can implement it without a copy.
type ReshapeOp struct{ Shape tensor.Shape }

// Reshape returns the elements of x, in row-major order, with another shape of the same size.
func Reshape(x *Node, shape ...int) *Node {
	to := tensor.Shape(shape)
	s := x.Shape()
	if SameShape(s, to) {
		return x
	}
	if to.TotalSize() != s.TotalSize() {
		fail("reshape", fmt.Sprintf("%v has %d elements", to, to.TotalSize()), x)
	}
	if v, ok := isFill(x); ok {
		return Fill(x, v, shape...)
	}
	if _, ok := kindOf[*ReshapeOp](x); ok {
		return Reshape(Children(x)[0], shape...)
	}
	return apply(&ReshapeOp{Shape: to.Clone()}, to, x)
}

// Diff implements Kind.
func (v *ReshapeOp) Diff(in []*Node, _, g *Node, _ []bool) []*Node {
	return []*Node{Reshape(g, in[0].Shape()...)}
}

// TransposeOp reorders the axes of a tensor: axis i of the result is axis Perm[i] of the input.
type TransposeOp struct{ Perm []int }

// Transpose returns x with its axes reordered: axis i of the result is axis perm[i] of x.
func Transpose(x *Node, perm ...int) *Node {
	s := x.Shape()
	sorted := slices.Sorted(slices.Values(perm))
	identity := true
	for i := range s {
		if len(perm) != len(s) || sorted[i] != i {
			fail("transpose", fmt.Sprintf("%v is not a permutation of the axes", perm), x)
		}
		identity = identity && perm[i] == i
	}
	if identity {
		return x
	}
	out := make(tensor.Shape, len(s))
	for i, p := range perm {
		out[i] = s[p]
	}
	return apply(&TransposeOp{Perm: slices.Clone(perm)}, out, x)
}

// Diff implements Kind.
func (p *TransposeOp) Diff(_ []*Node, _, g *Node, _ []bool) []*Node {
	inverse := make([]int, len(p.Perm))
	for i, q := range p.Perm {
		inverse[q] = i
	}
	return []*Node{Transpose(g, inverse...)}
}
