package graphop

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func bits(x float64) uint64 { return math.Float64bits(x) }

// ConstOp is a constant tensor: one value repeated, or a table of values.
type ConstOp struct {
	Value  float64   // every element, where Values is nil
	Values []float64 // row-major
	id     string
}

// Fill returns a constant of the given shape, in the graph and element type of like.
func Fill(like *Node, value float64, shape ...int) *Node {
	return constant(like, &ConstOp{Value: value, id: fmt.Sprintf("fill %x", bits(value))}, shape)
}

// Table returns a constant with the given row-major values, in the graph and element type of like.
func Table(like *Node, values []float64, shape ...int) *Node {
	if tensor.Shape(shape).TotalSize() != len(values) {
		panic(&Error{Op: "table", Shapes: []tensor.Shape{shape}, Reason: fmt.Sprintf("%d values given", len(values))})
	}
	return constant(like, &ConstOp{Values: slices.Clone(values), id: fmt.Sprintf("table %x", hashFloats(values))}, shape)
}

func constant(like *Node, c *ConstOp, shape tensor.Shape) *Node {
	if !positive(shape) {
		panic(&Error{Op: "constant", Shapes: []tensor.Shape{shape}, Reason: "expected one or more dimensions of 1 or more"})
	}
	op := &Operation{Kind: c, Out: shape.Clone(), Dtype: like.Dtype()}
	t := gorgonia.TensorType{Dims: shape.Dims(), Of: op.Dtype}
	for {
		n := gorgonia.NewUniqueNode(gorgonia.WithType(t), gorgonia.WithOp(op), gorgonia.WithChildren(nil), gorgonia.In(like.Graph()), gorgonia.WithShape(shape...))
		if Of(n).same(op) && slices.Equal(Of(n).Kind.(*ConstOp).Values, c.Values) && len(Children(n)) == 0 {
			return n
		}
		op.salt++
	}
}

// Name implements Kind.
func (c *ConstOp) Name() string { return c.id }

// Diff implements Kind.
func (c *ConstOp) Diff([]*Node, *Node, *Node, []bool) []*Node { return nil }

// isFill reports whether n is one value repeated.
func isFill(n *Node) (float64, bool) {
	if op := Of(n); op != nil {
		if c, ok := op.Kind.(*ConstOp); ok && c.Values == nil {
			return c.Value, true
		}
	}
	return 0, false
}
