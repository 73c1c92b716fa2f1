// Package graphop is a family of Gorgonia operations closed under differentiation: the derivative of every
// operation is made of operations of the family again, so a graph may be differentiated as often as a loss
// needs. Training a potential differentiates twice (the loss holds grad_x Phi, and its gradient is taken in the
// parameters), which Gorgonia's own operations do not survive: its convolution has no second derivative.
//
// An operation is its name, its shape rule and its derivative, and one file holds one of them or a few that belong
// together. How it is computed is not known here: each engine lowers all operations in one place (backend/tape for the
// CPU, backend/device for others). Shapes are checked when a node is made. Every value has rank one or more; a scalar
// is [1].
//
// Grad is reverse-mode differentiation that may be applied to its own result.
//
// Constructors panic with an *Error on shapes that do not fit, because expressions over dozens of nodes would
// drown in error returns; Build turns that panic into an error at the boundary of the package that builds a graph.
package graphop

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"slices"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Node is a value in an expression graph.
type Node = gorgonia.Node

// Error says which operation could not be applied, and to what.
type Error struct {
	Op     string
	Shapes []tensor.Shape
	Reason string
}

func (e *Error) Error() string {
	return fmt.Sprintf("graph operation %s on shapes %v: %s", e.Op, e.Shapes, e.Reason)
}

// Build runs f, which makes nodes, and returns the *Error of a constructor that refused.
func Build(f func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Error:
			err = r
		default:
			panic(r)
		}
	}()
	f()
	return nil
}

func fail(op string, reason string, in ...*Node) {
	e := &Error{Op: op, Reason: reason}
	for _, n := range in {
		e.Shapes = append(e.Shapes, n.Shape())
	}
	panic(e)
}

// Kind is what distinguishes one operation of the family: its name and attributes, and its derivative.
type Kind interface {
	// Name identifies the operation and all its attributes.
	Name() string
	// Diff returns the gradient in every input for which needed is set: the vector-Jacobian product with grad,
	// which has the shape of output. It builds nodes of the family only.
	Diff(inputs []*Node, output, grad *Node, needed []bool) []*Node
}

// Operation is a Kind applied to inputs of known shapes. It implements gorgonia.SDOp, so a graph of the family
// is an ordinary Gorgonia graph: Gorgonia checks its types, merges equal nodes and can run it.
type Operation struct {
	Kind  Kind
	In    []tensor.Shape
	Out   tensor.Shape
	Dtype tensor.Dtype
	salt  byte
}

var _ gorgonia.SDOp = (*Operation)(nil)

// Of returns the operation of a node, or nil for an input.
func Of(n *Node) *Operation {
	op, _ := n.Op().(*Operation)
	return op
}

// apply makes the node kind(inputs...) of the given shape.
func apply(kind Kind, out tensor.Shape, inputs ...*Node) *Node {
	if !positive(out) {
		fail(kind.Name(), fmt.Sprintf("the result would have shape %v, expected one or more dimensions of 1 or more", out), inputs...)
	}
	first := inputs[0]
	op := &Operation{Kind: kind, Out: out.Clone(), Dtype: first.Dtype()}
	for _, n := range inputs {
		if n.Dtype() != op.Dtype {
			fail(kind.Name(), fmt.Sprintf("element types differ: %v and %v", op.Dtype, n.Dtype()), inputs...)
		}
		op.In = append(op.In, n.Shape())
	}
	for {
		n, err := gorgonia.ApplyOp(op, inputs...)
		if err != nil {
			fail(kind.Name(), err.Error(), inputs...)
		}
		// Note: Gorgonia merges nodes by a 32-bit hash and, on a match, compares operation and shape but not the
		// children (v0.9.18, nodeEq). Two different sums of one shape whose hashes collide would become one node,
		// silently. So the children are compared here, and a colliding operation is salted and tried again.
		if sameChildren(n, inputs) && Of(n).same(op) {
			return n
		}
		op.salt++
		if op.salt == 0 {
			fail(kind.Name(), "hash collisions could not be resolved", inputs...)
		}
	}
}

// positive reports whether a shape is one that values have here: of rank one or more, nothing empty.
func positive(s tensor.Shape) bool {
	return len(s) > 0 && !slices.ContainsFunc(s, func(d int) bool { return d < 1 })
}

// SameShape reports whether two shapes are equal, rank included.
//
// Note: tensor.Shape.Eq is not used, because it calls [3], [1 3] and [3 1] equal.
func SameShape(a, b tensor.Shape) bool { return slices.Equal(a, b) }

func (o *Operation) same(p *Operation) bool {
	return o.Kind.Name() == p.Kind.Name() && SameShape(o.Out, p.Out) && o.salt == p.salt && o.Dtype == p.Dtype
}

// Children returns the inputs of n in order, duplicates kept.
func Children(n *Node) []*Node {
	it := n.Graph().From(n.ID())
	if it == nil {
		return nil
	}
	var out []*Node
	for it.Next() {
		out = append(out, it.Node().(*Node))
	}
	return out
}

func sameChildren(n *Node, want []*Node) bool {
	return slices.Equal(Children(n), want)
}

// Arity implements gorgonia.Op.
func (o *Operation) Arity() int { return len(o.In) }

// Type implements gorgonia.Op.
func (o *Operation) Type() hm.Type {
	out := gorgonia.TensorType{Dims: o.Out.Dims(), Of: o.Dtype}
	if len(o.In) == 0 {
		return out
	}
	ts := make([]hm.Type, 0, len(o.In)+1)
	for _, s := range o.In {
		ts = append(ts, gorgonia.TensorType{Dims: s.Dims(), Of: o.Dtype})
	}
	return hm.NewFnType(append(ts, out)...)
}

// InferShape implements gorgonia.Op.
func (o *Operation) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	shapes, err := gorgonia.DimSizersToShapes(in)
	if err != nil {
		return nil, err
	}
	for i, s := range shapes {
		if !slices.Equal([]int(s), []int(o.In[i])) {
			return nil, fmt.Errorf("operation %s made for input %d of shape %v, given %v", o, i, o.In[i], s)
		}
	}
	return o.Out.Clone(), nil
}

// evaluator computes one operation on values of its inputs' shapes; see SetEvaluator.
var evaluator func(o *Operation, inputs []gorgonia.Value) (gorgonia.Value, error)

// SetEvaluator makes f what Operation.Do runs. An engine calls it from init, so that the operations need not know any.
func SetEvaluator(f func(o *Operation, inputs []gorgonia.Value) (gorgonia.Value, error)) {
	evaluator = f
}

// NoEngineError says that an operation was to be computed in a program that links no engine.
type NoEngineError struct{ Op string }

func (e *NoEngineError) Error() string {
	return fmt.Sprintf("operation %s cannot be computed: no engine is linked into this program "+
		"(import vapo/lib/backend/tape)", e.Op)
}

// Do implements gorgonia.Op, so that Gorgonia's own machines can run the graph. It returns a *NoEngineError if the
// program links no engine.
func (o *Operation) Do(values ...gorgonia.Value) (gorgonia.Value, error) {
	if len(values) != len(o.In) {
		return nil, fmt.Errorf("operation %s: got %d values, expected %d", o, len(values), len(o.In))
	}
	if evaluator == nil {
		return nil, &NoEngineError{Op: o.String()}
	}
	return evaluator(o, values)
}

// ReturnsPtr implements gorgonia.Op.
func (o *Operation) ReturnsPtr() bool { return false }

// CallsExtern implements gorgonia.Op.
func (o *Operation) CallsExtern() bool { return false }

// OverwritesInput implements gorgonia.Op.
func (o *Operation) OverwritesInput() int { return -1 }

// WriteHash implements gorgonia.Op.
func (o *Operation) WriteHash(h hash.Hash) {
	fmt.Fprintf(h, "vapo.%s %v %v %d", o.Kind.Name(), o.In, o.Out, o.salt)
}

// Hashcode implements gorgonia.Op.
func (o *Operation) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

func (o *Operation) String() string { return o.Kind.Name() }

// DiffWRT implements gorgonia.SDOp.
func (o *Operation) DiffWRT(inputs int) []bool {
	out := make([]bool, inputs)
	for i := range out {
		out[i] = true
	}
	return out
}

// SymDiff implements gorgonia.SDOp.
func (o *Operation) SymDiff(inputs gorgonia.Nodes, output, grad *Node) (gorgonia.Nodes, error) {
	var out gorgonia.Nodes
	err := Build(func() { out = o.Kind.Diff(inputs, output, grad, o.DiffWRT(len(inputs))) })
	return out, err
}

// Input adds a named input of the given shape to g. Names are unique in a graph.
func Input(g *gorgonia.ExprGraph, dt tensor.Dtype, name string, shape ...int) *Node {
	if len(g.ByName(name)) > 0 {
		panic(&Error{Op: "input " + name, Reason: "the name is taken"})
	}
	if !positive(shape) {
		panic(&Error{Op: "input " + name, Shapes: []tensor.Shape{shape}, Reason: "expected one or more dimensions of 1 or more"})
	}
	return gorgonia.NewTensor(g, dt, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
}

func hashFloats(v []float64) uint64 {
	h := fnv.New64a()
	var b [8]byte
	for _, x := range v {
		binary.LittleEndian.PutUint64(b[:], bits(x))
		h.Write(b[:])
	}
	return h.Sum64()
}
