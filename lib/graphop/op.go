// Package graphop is a family of Gorgonia operations closed under differentiation: the derivative of every operation
// consists of operations of the family, so a graph can be differentiated any number of times. Training a potential
// differentiates twice: the loss contains grad_x Phi, and training needs the gradient of the loss with respect to the
// parameters. With Gorgonia's own operations that is impossible: its convolution has no second derivative.
//
// An operation is a name, a shape rule and a derivative. Each file defines one operation or a few related ones. The
// engines decide how to compute an operation. Each engine lowers all operations in one package: backend/tape for the
// CPU, backend/device for accelerators. Every value has rank 1 or more; a scalar has shape [1]. The operands of a
// pointwise function must have the same rank; dimensions of 1 are broadcast.
//
// Grad is reverse-mode differentiation and may be applied to its own results.
//
// Constructors check shapes and panic with an *Error, because error returns would make expressions of dozens of nodes
// unreadable. The package that builds a graph calls Build to turn the panic into an error.
package graphop

import (
	"fmt"
	"hash"
	"hash/fnv"
	"reflect"
	"slices"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Node is a value in an expression graph.
type Node = gorgonia.Node

// Error reports an operation that cannot be applied to its operands.
type Error struct {
	Op     string
	Shapes []tensor.Shape
	Reason string
	// TooLarge reports that the shapes fit, but the result would have too many elements. A smaller batch may help.
	TooLarge bool
}

func (e *Error) Error() string {
	return fmt.Sprintf("graph operation %s on shapes %v: %s", e.Op, e.Shapes, e.Reason)
}

// Build calls f, which constructs nodes. If a constructor panics with an *Error, Build returns that error.
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

// Kind is the type of an operation, a struct with its attributes.
type Kind interface {
	// Diff returns the vector-Jacobian product with grad for every input for which needed is set. grad has the shape of
	// output. Results for other inputs are ignored. Diff constructs operations of this package only.
	Diff(inputs []*Node, output, grad *Node, needed []bool) []*Node
}

// name identifies a Kind and all its attributes, as in SumOp{Axes:[0 1]}.
func name(k Kind) string {
	if c, ok := k.(*ConstOp); ok {
		return c.id
	}
	v := reflect.ValueOf(k).Elem()
	return fmt.Sprintf("%s%+v", v.Type().Name(), v)
}

// Operation is a Kind applied to inputs of known shapes. It implements gorgonia.SDOp, so a graph of the family is an
// ordinary Gorgonia graph: Gorgonia checks its types, merges equal nodes and can run it.
type Operation struct {
	Kind  Kind
	In    []tensor.Shape
	Out   tensor.Shape
	Dtype tensor.Dtype // of the inputs and the output
	salt  byte
}

var _ gorgonia.SDOp = (*Operation)(nil)

// Of returns the operation of a node, or nil for an input.
func Of(n *Node) *Operation {
	op, _ := n.Op().(*Operation)
	return op
}

// kindOf returns the Kind of a node's operation if the Kind has type K. Otherwise ok is false.
func kindOf[K Kind](n *Node) (k K, ok bool) {
	if op := Of(n); op != nil {
		k, ok = op.Kind.(K)
	}
	return k, ok
}

// positiveShape describes a valid shape in error messages.
const positiveShape = "expected at least one dimension and no empty ones"

// positive reports whether a value can have shape s: rank 1 or more, and no empty dimension.
func positive(s tensor.Shape) bool {
	return len(s) > 0 && !slices.ContainsFunc(s, func(d int) bool { return d < 1 })
}

// apply returns the node kind(inputs...) with the shape out.
func apply(kind Kind, out tensor.Shape, inputs ...*Node) *Node {
	if !positive(out) {
		fail(name(kind), fmt.Sprintf("the result would have shape %v, %s", out, positiveShape), inputs...)
	}
	first := inputs[0]
	op := &Operation{Kind: kind, Out: out.Clone(), Dtype: first.Dtype()}
	for _, n := range inputs {
		if n.Dtype() != op.Dtype {
			fail(name(kind), fmt.Sprintf("element types differ: %v and %v", op.Dtype, n.Dtype()), inputs...)
		}
		op.In = append(op.In, n.Shape())
	}
	for {
		n, err := gorgonia.ApplyOp(op, inputs...)
		if err != nil {
			fail(name(kind), err.Error(), inputs...)
		}
		// Note: Gorgonia merges nodes with equal 32-bit hashes if their operations and shapes are equal; it does not
		// compare the children (v0.9.18, nodeEq). If the hashes of two different sums collide, the sums would silently
		// become one node. So apply compares the children itself and changes the salt in the hash after a collision.
		if slices.Equal(Children(n), inputs) && Of(n).same(op) {
			return n
		}
		if op.salt++; op.salt == 0 {
			fail(name(kind), "hash collisions could not be resolved", inputs...)
		}
	}
}

// SameShape reports whether two shapes are equal, rank included.
//
// Note: tensor.Shape.Eq is not used, because it considers [3], [1 3] and [3 1] equal.
func SameShape(a, b tensor.Shape) bool { return slices.Equal(a, b) }

func (o *Operation) same(p *Operation) bool {
	return name(o.Kind) == name(p.Kind) && SameShape(o.Out, p.Out) && o.salt == p.salt && o.Dtype == p.Dtype
}

// Children returns the inputs of n in order. An input that n uses twice appears twice.
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
		if !SameShape(s, o.In[i]) {
			return nil, fmt.Errorf("operation %s: input %d has shape %v, expected %v", o, i, s, o.In[i])
		}
	}
	return o.Out.Clone(), nil
}

// Evaluator computes the operation o from the values of its inputs. The values have the shapes o.In.
type Evaluator func(o *Operation, inputs []gorgonia.Value) (gorgonia.Value, error)

var evaluator Evaluator

// SetEvaluator sets the function that Operation.Do calls. Package backend/tape calls it from init, because this package
// cannot import backend/tape without an import cycle.
func SetEvaluator(f Evaluator) { evaluator = f }

// Do implements gorgonia.Op, so that Gorgonia's own machines can run the graph. It returns an error unless the program
// links backend/tape.
func (o *Operation) Do(values ...gorgonia.Value) (gorgonia.Value, error) {
	if len(values) != len(o.In) {
		return nil, fmt.Errorf("operation %s: got %d values, expected %d", o, len(values), len(o.In))
	}
	if evaluator == nil {
		return nil, fmt.Errorf("operation %s cannot be computed: the program must import vapo/lib/backend/tape", o)
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
	fmt.Fprintf(h, "vapo.%s %v %v %d", name(o.Kind), o.In, o.Out, o.salt)
}

// Hashcode implements gorgonia.Op.
func (o *Operation) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

func (o *Operation) String() string { return name(o.Kind) }

// DiffWRT implements gorgonia.SDOp.
func (o *Operation) DiffWRT(inputs int) []bool {
	return slices.Repeat([]bool{true}, inputs)
}

// SymDiff implements gorgonia.SDOp.
func (o *Operation) SymDiff(inputs gorgonia.Nodes, output, grad *Node) (gorgonia.Nodes, error) {
	var out gorgonia.Nodes
	err := Build(func() { out = o.Kind.Diff(inputs, output, grad, o.DiffWRT(len(inputs))) })
	return out, err
}

// Input adds a named input of the given shape to g. The name must be unique in g.
func Input(g *gorgonia.ExprGraph, dt tensor.Dtype, name string, shape ...int) *Node {
	if len(g.ByName(name)) > 0 {
		panic(&Error{Op: "input " + name, Reason: "the name is taken"})
	}
	if !positive(shape) {
		panic(&Error{Op: "input " + name, Shapes: []tensor.Shape{shape}, Reason: positiveShape})
	}
	return gorgonia.NewTensor(g, dt, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
}
