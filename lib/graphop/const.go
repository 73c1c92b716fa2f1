package graphop

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// ConstOp is a constant tensor: one repeated value, or a table of values.
type ConstOp struct {
	Value  float64   // every element, if Values is nil
	Values []float64 // row-major
	id     string
}

// Fill returns a constant whose elements all equal value. The constant belongs to the graph of like and has the element
// type of like.
func Fill(like *Node, value float64, shape ...int) *Node {
	return constant(like, &ConstOp{Value: value, id: fmt.Sprintf("fill %x", math.Float64bits(value))}, shape)
}

// Table returns a constant with the given row-major values. The constant belongs to the graph of like and has the
// element type of like.
func Table(like *Node, values []float64, shape ...int) *Node {
	if tensor.Shape(shape).TotalSize() != len(values) {
		panic(&Error{Op: "table", Shapes: []tensor.Shape{shape}, Reason: fmt.Sprintf("%d values given", len(values))})
	}
	return constant(like, &ConstOp{Values: slices.Clone(values), id: fmt.Sprintf("table %x", hashFloats(values))}, shape)
}

func constant(like *Node, c *ConstOp, shape tensor.Shape) *Node {
	if !positive(shape) {
		panic(&Error{Op: "constant", Shapes: []tensor.Shape{shape}, Reason: positiveShape})
	}
	op := &Operation{Kind: c, Out: shape.Clone(), Dtype: like.Dtype()}
	t := gorgonia.TensorType{Dims: shape.Dims(), Of: op.Dtype}
	for {
		n := gorgonia.NewUniqueNode(gorgonia.WithType(t), gorgonia.WithOp(op), gorgonia.WithChildren(nil),
			gorgonia.In(like.Graph()), gorgonia.WithShape(shape...))
		if Of(n).same(op) && slices.Equal(Of(n).Kind.(*ConstOp).Values, c.Values) && len(Children(n)) == 0 {
			return n
		}
		op.salt++
	}
}

// Diff implements Kind.
func (c *ConstOp) Diff([]*Node, *Node, *Node, []bool) []*Node { return nil }

// isFill returns the value of a constant made by Fill. For any other node, ok is false.
func isFill(n *Node) (value float64, ok bool) {
	if c, ok := kindOf[*ConstOp](n); ok && c.Values == nil {
		return c.Value, true
	}
	return 0, false
}

func hashFloats(v []float64) uint64 {
	h := fnv.New64a()
	var b [8]byte
	for _, x := range v {
		binary.LittleEndian.PutUint64(b[:], math.Float64bits(x))
		h.Write(b[:])
	}
	return h.Sum64()
}
