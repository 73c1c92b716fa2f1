package device

import (
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"vapo/lib/graphop"
	"vapo/lib/kernel"
)

// role determines the element type in which a program with bfloat16 activations keeps a value. Without bfloat16
// activations, every value has the graph's element type.
type role int

const (
	// exact values are kept in float32: inputs and exact states of the graph, statistics, losses, and the gradients of
	// weights. Many of these values are sums, and rounding a sum would lose the contributions of its small terms.
	exact role = iota
	// pliant values are computed in float32 and rounded when they meet an activation: weights, moments and averages,
	// constants, random draws and flags. In operations without activations, such as those of an optimiser, they stay
	// float32.
	pliant
	// activations are kept in bfloat16. They take most of a training step's memory, and moving them takes most of its
	// time.
	activation
)

// elements describes the types of one operation's values.
type elements struct {
	inside dtypes.DType // of the operands and of the computation
	role   role         // of the result
	rows   int          // the number of different elements of the result, which a broadcast does not increase
}

// elementsOf returns the element types that an operation uses in a program with bfloat16 activations.
func (l *lowering) elementsOf(n *graphop.Node) elements {
	op, size := graphop.Of(n), n.Shape().TotalSize()
	in := graphop.Children(n)
	wide := dtypes.Float32
	switch k := op.Kind.(type) {
	case *graphop.ConstOp, *graphop.PhiloxOp:
		return elements{wide, pliant, size} // draws are compared with thresholds, so rounding could change the outcome
	case *graphop.MatMulOp:
		if len(op.Out) == 2 && k.TransA && !k.TransB {
			return elements{dtypes.BFloat16, exact, size} // sums over a batch: the gradient of a weight
		}
		return elements{dtypes.BFloat16, activation, size} // the sums are float32 and are rounded once
	case *graphop.ConvOp:
		if k.Role == graphop.FilterGrad {
			return elements{dtypes.BFloat16, exact, size} // sums over a batch: the gradient of a filter
		}
		return elements{dtypes.BFloat16, activation, size}
	case *graphop.SumOp, *graphop.RowMaxOp:
		return elements{wide, exact, size} // a statistic, or the gradient of a broadcast value
	case *graphop.SoftmaxOp, *graphop.AvgPoolOp, *graphop.WindowSumOp, *graphop.WindowSumGradOp:
		return elements{wide, l.roles[in[0]].role, size} // contains sums; the result is rounded once
	case *graphop.SelectMaxOp, *graphop.ScatterMaxOp:
		// Max pooling and its derivative must find the same maximum, so both compare the unrounded values.
		return elements{wide, l.roles[in[1]].role, size}
	case *graphop.PointwiseOp:
		if k.Code == kernel.Heaviside || k.Code == kernel.IsFinite {
			return elements{l.natural(in[0]), pliant, size} // 0 or 1, exact in every type
		}
		return l.meet(in)
	case *graphop.ConcatOp:
		e := l.meet(in)
		if e.role == activation {
			e.inside = dtypes.BFloat16 // concatenation only moves elements
		}
		e.rows = size
		return e
	}
	// The other operations only move elements: reshape, transpose, slice, pad, upsample and boundary.
	return elements{l.natural(in[0]), l.roles[in[0]].role, min(size, l.roles[in[0]].rows)}
}

// natural returns the type in which a value is kept.
func (l *lowering) natural(n *graphop.Node) dtypes.DType {
	if l.roles[n].role == activation {
		return dtypes.BFloat16
	}
	return l.wide
}

// meet returns the types of an elementwise operation. The operands with the most elements decide the role of the
// result: a bias or a mean does not widen an activation. Statistics are not rounded, so an operation that reads one is
// computed in float32 and its result is rounded once.
func (l *lowering) meet(in []*graphop.Node) elements {
	most := map[role]int{}
	for _, n := range in {
		e := l.roles[n]
		most[e.role] = max(most[e.role], e.rows)
	}
	e := elements{dtypes.Float32, exact, max(most[exact], most[activation])}
	switch {
	case most[exact] == 0 && most[activation] == 0:
		e.role, e.rows = pliant, most[pliant]
	case most[activation] > most[exact]:
		if e.role = activation; most[exact] == 0 {
			e.inside = dtypes.BFloat16
		}
	}
	return e
}

// typed is a value of a program in one element type.
type typed struct {
	node *graphop.Node
	dt   dtypes.DType
}

// in returns the value of n in an element type. A value is converted at most once to each type. If a result was
// computed in float32 and its reader computes in float32 too, the reader gets the result before it is rounded.
func (l *lowering) in(n *graphop.Node, dt dtypes.DType) compute.Value {
	if v, ok := l.of[typed{n, dt}]; ok {
		return v
	}
	var v compute.Value
	if op := graphop.Of(n); op != nil {
		if c, ok := op.Kind.(*graphop.ConstOp); ok {
			v = l.constant(c, dt, op.Out)
		}
	}
	if v == nil {
		other := dtypes.Float32
		if dt == other {
			other = dtypes.BFloat16
		}
		v = must(l.ConvertDType(l.of[typed{n, other}], dt))
	}
	l.of[typed{n, dt}] = v
	return v
}
