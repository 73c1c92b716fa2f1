package graphop

import (
	"fmt"
	"slices"

	"gorgonia.org/tensor"
)

// ReshapeOp gives the elements of a tensor another shape. Backends alias the memory.
type ReshapeOp struct{ Shape tensor.Shape }

// Reshape returns the elements of x in row-major order under another shape.
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
	if op := Of(x); op != nil {
		if _, ok := op.Kind.(*ReshapeOp); ok {
			return Reshape(Children(x)[0], shape...)
		}
	}
	return apply(&ReshapeOp{Shape: to.Clone()}, to, x)
}

// Name implements Kind.
func (v *ReshapeOp) Name() string { return fmt.Sprintf("reshape%v", v.Shape) }

// Diff implements Kind.
func (v *ReshapeOp) Diff(in []*Node, _, g *Node, _ []bool) []*Node {
	return []*Node{Reshape(g, in[0].Shape()...)}
}

// TransposeOp reorders the axes of a tensor: axis i of the result is axis Perm[i] of the input.
type TransposeOp struct{ Perm []int }

// Transpose returns x with axis i being x's axis perm[i].
func Transpose(x *Node, perm ...int) *Node {
	s := x.Shape()
	sorted := slices.Clone(perm)
	slices.Sort(sorted)
	identity := true
	for i := range s {
		if len(perm) != len(s) || sorted[i] != i {
			fail("transpose", fmt.Sprintf("%v is no permutation of the axes", perm), x)
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

// Name implements Kind.
func (p *TransposeOp) Name() string { return fmt.Sprintf("transpose%v", p.Perm) }

// Diff implements Kind.
func (p *TransposeOp) Diff(_ []*Node, _, g *Node, _ []bool) []*Node {
	inverse := make([]int, len(p.Perm))
	for i, q := range p.Perm {
		inverse[q] = i
	}
	return []*Node{Transpose(g, inverse...)}
}
