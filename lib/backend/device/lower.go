package device

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/gomlx/compute/shapes"
	"gorgonia.org/tensor"
	"vapo/lib/backend"
	"vapo/lib/graphop"
)

// lowering turns the nodes of a graph into operations of a builder.
type lowering struct {
	compute.Function
	wide    dtypes.DType // the graph's element type
	half    bool         // activations are bfloat16; see elementsOf
	dt      dtypes.DType // the type in which the current operation computes
	of      map[typed]compute.Value
	roles   map[*graphop.Node]elements
	scalars map[scalar]compute.Value
}

type scalar struct {
	dt    dtypes.DType
	value float64
}

// refused is the panic that carries an error of a builder out of nested expressions.
type refused struct{ err error }

// must panics on a builder's error; lower turns the panic back into the error.
func must(v compute.Value, err error) compute.Value {
	if err != nil {
		panic(refused{err})
	}
	return v
}

// newLowering returns a lowering of g, whose elements have type dt. With half, a float32 graph has bfloat16
// activations.
func newLowering(b compute.Function, g backend.Graph, dt dtypes.DType, half bool) *lowering {
	l := &lowering{
		Function: b, wide: dt, half: half && dt == dtypes.Float32,
		of: map[typed]compute.Value{}, roles: map[*graphop.Node]elements{}, scalars: map[scalar]compute.Value{},
	}
	for _, n := range g.Inputs {
		l.roles[n] = elements{dt, exact, n.Shape().TotalSize()}
	}
	for _, s := range g.State {
		e := elements{dt, pliant, s.In.Shape().TotalSize()}
		if s.Exact {
			e.role = exact
		}
		l.roles[s.In] = e
	}
	for _, n := range g.Order() {
		switch {
		case graphop.Of(n) == nil:
		case l.half:
			l.roles[n] = l.elementsOf(n)
		default:
			l.roles[n] = elements{inside: dt}
		}
	}
	return l
}

// lower lowers the nodes in order; l.of must contain the inputs and the states.
func (l *lowering) lower(order []*graphop.Node) (err error) {
	var at *graphop.Node
	defer func() {
		switch r := recover().(type) {
		case nil:
		case refused:
			err = fmt.Errorf("compile: operation %v of shape %v: %w", at.Op(), at.Shape(), r.err)
		default:
			panic(r)
		}
	}()
	for _, at = range order {
		if graphop.Of(at) == nil {
			continue
		}
		e := l.roles[at]
		l.dt = e.inside
		var in []compute.Value
		_, boundary := graphop.Of(at).Kind.(*graphop.BoundaryOp)
		for i, c := range graphop.Children(at) {
			dt := e.inside
			if boundary && i > 0 {
				dt = l.natural(c) // the barrier only waits for this operand, so it is not converted
			}
			in = append(in, l.in(c, dt))
		}
		out := e.inside
		if e.role == exact {
			out = l.wide
		}
		v, err := l.operation(graphop.Of(at), in, out)
		if err != nil {
			return err
		}
		l.of[typed{at, out}] = v
	}
	return nil
}

// operation lowers one operation that computes in the type l.dt. Only products and convolutions may have a
// result of another type, out.
func (l *lowering) operation(op *graphop.Operation, in []compute.Value, out dtypes.DType) (compute.Value, error) {
	switch k := op.Kind.(type) {
	case *graphop.ConstOp:
		return l.constant(k, l.dt, op.Out), nil
	case *graphop.PointwiseOp:
		for i := range in {
			in[i] = l.broadcast(in[i], op.In[i], op.Out)
		}
		return l.pointwise(k, op.Out, in), nil
	case *graphop.SumOp:
		return l.reshape(must(l.ReduceSum(in[0], k.Axes...)), op.Out...), nil
	case *graphop.ReshapeOp:
		return l.reshape(in[0], op.Out...), nil
	case *graphop.BoundaryOp:
		if len(in) == 1 {
			return in[0], nil
		}
		v, err := l.OptimizationBarrier(in...)
		if err != nil {
			return nil, err
		}
		return v[0], nil
	case *graphop.TransposeOp:
		return must(l.Transpose(in[0], k.Perm...)), nil
	case *graphop.SliceOp:
		return l.slice(in[0], op.In[0], k.Axis, k.From, k.To, 1), nil
	case *graphop.PadOp:
		pad := make([]compute.PadAxis, len(op.Out))
		pad[k.Axis] = compute.PadAxis{Start: k.Before, End: k.After}
		return must(l.Pad(in[0], l.scalar(l.dt, 0), pad...)), nil
	case *graphop.ConcatOp:
		return must(l.Concatenate(k.Axis, in...)), nil
	case *graphop.MatMulOp:
		return l.product(k, op, in[0], in[1], out), nil
	case *graphop.ConvOp:
		v := l.convolution(k, in[0], in[1])
		if out != l.dt {
			v = must(l.ConvertDType(v, out))
		}
		return v, nil
	case *graphop.AvgPoolOp:
		s := op.Out
		tiles := l.reshape(in[0], s[0], s[1], s[2], k.K, s[3], k.K)
		sum := must(l.ReduceSum(tiles, 3, 5))
		return must(l.Mul(sum, l.full(1/float64(k.K*k.K), s))), nil
	case *graphop.UpsampleOp:
		s := op.In[0]
		wide := shapes.Make(l.dt, s[0], s[1], s[2], k.K, s[3], k.K)
		return l.reshape(must(l.BroadcastInDim(in[0], wide, []int{0, 1, 2, 4})), op.Out...), nil
	case *graphop.RowMaxOp:
		return l.reshape(must(l.ReduceMax(in[0], 1)), op.Out...), nil
	case *graphop.SoftmaxOp:
		return l.softmax(in[0], op.Out), nil
	case *graphop.WindowSumOp:
		return l.windowSum(in[0], k.Window, op.In[0], op.Out), nil
	case *graphop.WindowSumGradOp:
		return l.windowSumGrad(in[0], k.Window, op.Out, op.In[0]), nil
	case *graphop.SelectMaxOp:
		return l.selectMax(in[0], in[1], k.Window, op.In[0], op.Out), nil
	case *graphop.ScatterMaxOp:
		return l.scatterMax(in[0], in[1], k.Window, op.Out, op.In[1]), nil
	case *graphop.PhiloxOp:
		return l.philox(k, op.Out, op.Out.TotalSize(), in[0]), nil
	}
	return nil, fmt.Errorf("compile: operation %v cannot be lowered to a device", op)
}

func (l *lowering) constant(c *graphop.ConstOp, dt dtypes.DType, shape tensor.Shape) compute.Value {
	if c.Values == nil {
		return l.fullOf(dt, c.Value, shape)
	}
	return must(l.Constant(flat(dt, c.Values), shape...))
}

// flat converts values to a slice of an element type.
func flat(dt dtypes.DType, values []float64) any {
	switch dt {
	case dtypes.Float64:
		return values
	case dtypes.Uint32:
		return convert[uint32](values)
	case dtypes.Uint64:
		return convert[uint64](values)
	case dtypes.BFloat16:
		return bfloat16.FromFloat32s(convert[float32](values)...)
	}
	return convert[float32](values)
}

func convert[T float32 | uint32 | uint64](values []float64) []T {
	out := make([]T, len(values))
	for i, v := range values {
		out[i] = T(v)
	}
	return out
}

// scalar returns a constant of rank 0.
func (l *lowering) scalar(dt dtypes.DType, v float64) compute.Value {
	key := scalar{dt, v}
	s, ok := l.scalars[key]
	if !ok { // a NaN is never found in a map, which is harmless
		s = must(l.Constant(flat(dt, []float64{v})))
		l.scalars[key] = s
	}
	return s
}

// full returns a constant that repeats one value, in the type in which the current operation computes.
func (l *lowering) full(v float64, shape []int) compute.Value {
	return l.fullOf(l.dt, v, shape)
}

func (l *lowering) fullOf(dt dtypes.DType, v float64, shape []int) compute.Value {
	return must(l.BroadcastInDim(l.scalar(dt, v), shapes.Make(dt, shape...), nil))
}

// broadcast repeats v, of shape from, along its axes of length 1 to the shape to.
func (l *lowering) broadcast(v compute.Value, from, to []int) compute.Value {
	if graphop.SameShape(from, to) {
		return v
	}
	axes := make([]int, len(from))
	for i := range axes {
		axes[i] = i
	}
	return must(l.BroadcastInDim(v, shapes.Make(l.dt, to...), axes))
}

func (l *lowering) reshape(v compute.Value, shape ...int) compute.Value {
	return must(l.Reshape(v, shape...))
}

// slice returns v[..., from:to:step, ...] along one axis of v, which has the given shape.
func (l *lowering) slice(v compute.Value, shape []int, axis, from, to, step int) compute.Value {
	starts, strides := make([]int, len(shape)), make([]int, len(shape))
	limits := slices.Clone(shape)
	for i := range strides {
		strides[i] = 1
	}
	starts[axis], limits[axis], strides[axis] = from, to, step
	return must(l.Slice(v, starts, limits, strides))
}

func (l *lowering) product(p *graphop.MatMulOp, op *graphop.Operation, a, b compute.Value,
	out dtypes.DType) compute.Value {
	var batch []int
	first := 0
	if len(op.Out) == 3 {
		batch, first = []int{0}, 1
	}
	ca, cb := first+1, first
	if p.TransA {
		ca = first
	}
	if p.TransB {
		cb = first + 1
	}
	return must(l.DotGeneral(a, []int{ca}, batch, b, []int{cb}, batch,
		compute.DotGeneralConfig{AccumulatorDType: l.wide, OutputDType: out}))
}

// softmax returns e^x divided by its sum along the last axis of x; see graphop.Softmax.
func (l *lowering) softmax(x compute.Value, shape []int) compute.Value {
	last := len(shape) - 1
	row := slices.Clone(shape)
	row[last] = 1
	along := func(v compute.Value) compute.Value { return l.broadcast(l.reshape(v, row...), row, shape) }
	e := must(l.Exp(must(l.Sub(x, along(must(l.ReduceMax(x, last)))))))
	return must(l.Div(e, along(must(l.ReduceSum(e, last)))))
}
