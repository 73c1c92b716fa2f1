package device

import (
	"fmt"
	"math"
	"reflect"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/notimplemented"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/go-xla/stablehlo"
	"github.com/gomlx/go-xla/types"
	hloshapes "github.com/gomlx/go-xla/types/shapes"
	"vapo/lib/enginename"
)

// hlo builds a program as StableHLO text, the language of XLA's plugins.
//
// Note: go-xla's own compute.Backend is not used, for two reasons. It fixes the precision of convolutions at the
// fastest setting, which on CUDA cards means 10 bits of mantissa instead of 23. And it never tells XLA that an output
// may reuse the memory of a donated input, so a training step would need memory for two states.
type hlo struct {
	notimplemented.Function // returns errors for the operations that no graph needs
	builder                 *stablehlo.Builder
	main                    *stablehlo.Function
	params                  []compute.Value
	precision               enginename.Precision
	reducers                map[string]*stablehlo.Function // by name and element type
	load                    func(text []byte) (program, error)
}

func newHLO(params []shapes.Shape, precision enginename.Precision, load func([]byte) (program, error)) (*hlo, error) {
	builder := stablehlo.New("graph")
	h := &hlo{
		builder: builder, main: builder.Main(), precision: precision,
		reducers: map[string]*stablehlo.Function{}, load: load,
	}
	for i, s := range params {
		v, err := h.main.NamedInput(fmt.Sprintf("p%d", i), shapeOf(s))
		if err != nil {
			return nil, err
		}
		h.params = append(h.params, v)
	}
	return h, nil
}

func shapeOf(s shapes.Shape) hloshapes.Shape { return hloshapes.Make(s.DType, s.Dimensions...) }

func (h *hlo) parameters() []compute.Value { return h.params }

// text finishes the program with the given outputs and returns it as StableHLO text; see builder for heirs.
func (h *hlo) text(outputs []compute.Value, heirs []int) ([]byte, error) {
	for i, heir := range heirs {
		if heir >= 0 {
			h.params[i].(*stablehlo.Value).Attributes = map[string]any{"tf.aliasing_output": int32(heir)}
		}
	}
	list := make([]*stablehlo.Value, len(outputs))
	for i, v := range outputs {
		list[i] = node(v)
	}
	if err := h.main.Return(list...); err != nil {
		return nil, err
	}
	return h.builder.Build()
}

func (h *hlo) compile(outputs []compute.Value, heirs []int) (program, error) {
	text, err := h.text(outputs, heirs)
	if err != nil {
		return nil, err
	}
	return h.load(text)
}

func node(v compute.Value) *stablehlo.Value { return v.(*stablehlo.Value) }

func nodes(in []compute.Value) []*stablehlo.Value {
	out := make([]*stablehlo.Value, len(in))
	for i, v := range in {
		out[i] = node(v)
	}
	return out
}

// value converts v to an interface. If there is an error, it returns a nil interface, because an interface that holds a
// nil pointer is not nil.
func value(v *stablehlo.Value, err error) (compute.Value, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

type (
	unary  = func(*stablehlo.Value) (*stablehlo.Value, error)
	binary = func(a, b *stablehlo.Value) (*stablehlo.Value, error)
)

func apply1(f unary, x compute.Value) (compute.Value, error)     { return value(f(node(x))) }
func apply2(f binary, a, b compute.Value) (compute.Value, error) { return value(f(node(a), node(b))) }

func (h *hlo) Add(a, b compute.Value) (compute.Value, error) { return apply2(stablehlo.Add, a, b) }
func (h *hlo) Sub(a, b compute.Value) (compute.Value, error) { return apply2(stablehlo.Subtract, a, b) }
func (h *hlo) Mul(a, b compute.Value) (compute.Value, error) { return apply2(stablehlo.Multiply, a, b) }
func (h *hlo) Div(a, b compute.Value) (compute.Value, error) { return apply2(stablehlo.Divide, a, b) }
func (h *hlo) Max(a, b compute.Value) (compute.Value, error) { return apply2(stablehlo.Maximum, a, b) }
func (h *hlo) Min(a, b compute.Value) (compute.Value, error) { return apply2(stablehlo.Minimum, a, b) }
func (h *hlo) BitwiseXor(a, b compute.Value) (compute.Value, error) {
	return apply2(stablehlo.Xor, a, b)
}
func (h *hlo) ShiftRightLogical(a, b compute.Value) (compute.Value, error) {
	return apply2(stablehlo.ShiftRightLogical, a, b)
}

func (h *hlo) compare(a, b compute.Value, direction types.ComparisonDirection) (compute.Value, error) {
	kind := types.CompareFloat
	if dt := node(a).Shape().DType; !dt.IsFloat() {
		kind = types.CompareUnsigned // truth values and Philox words; no program has signed integers
	}
	return value(stablehlo.Compare(node(a), node(b), direction, kind))
}

func (h *hlo) GreaterThan(a, b compute.Value) (compute.Value, error) {
	return h.compare(a, b, types.CompareGT)
}
func (h *hlo) GreaterOrEqual(a, b compute.Value) (compute.Value, error) {
	return h.compare(a, b, types.CompareGE)
}
func (h *hlo) Equal(a, b compute.Value) (compute.Value, error) {
	return h.compare(a, b, types.CompareEQ)
}
func (h *hlo) NotEqual(a, b compute.Value) (compute.Value, error) {
	return h.compare(a, b, types.CompareNE)
}

func (h *hlo) Exp(x compute.Value) (compute.Value, error)  { return apply1(stablehlo.Exponential, x) }
func (h *hlo) Log(x compute.Value) (compute.Value, error)  { return apply1(stablehlo.Log, x) }
func (h *hlo) Sqrt(x compute.Value) (compute.Value, error) { return apply1(stablehlo.Sqrt, x) }
func (h *hlo) Sin(x compute.Value) (compute.Value, error)  { return apply1(stablehlo.Sine, x) }
func (h *hlo) Cos(x compute.Value) (compute.Value, error)  { return apply1(stablehlo.Cosine, x) }
func (h *hlo) Logistic(x compute.Value) (compute.Value, error) {
	return apply1(stablehlo.Logistic, x)
}
func (h *hlo) IsFinite(x compute.Value) (compute.Value, error) {
	return apply1(stablehlo.IsFinite, x)
}
func (h *hlo) ConvertDType(x compute.Value, to dtypes.DType) (compute.Value, error) {
	return value(stablehlo.Convert(node(x), to))
}
func (h *hlo) Where(condition, a, b compute.Value) (compute.Value, error) {
	return value(stablehlo.Select(node(condition), node(a), node(b)))
}

func (h *hlo) Constant(flat any, dims ...int) (compute.Value, error) {
	dt := dtypes.FromGoType(reflect.TypeOf(flat).Elem())
	return value(h.main.ConstantFromFlatAndShape(flat, hloshapes.Make(dt, dims...)))
}
func (h *hlo) Iota(shape shapes.Shape, axis int) (compute.Value, error) {
	return value(h.main.Iota(shapeOf(shape), axis))
}
func (h *hlo) BroadcastInDim(x compute.Value, shape shapes.Shape, axes []int) (compute.Value, error) {
	return value(stablehlo.BroadcastInDim(node(x), shapeOf(shape), axes))
}
func (h *hlo) Reshape(x compute.Value, dims ...int) (compute.Value, error) {
	return value(stablehlo.Reshape(node(x), hloshapes.Make(node(x).Shape().DType, dims...)))
}
func (h *hlo) Transpose(x compute.Value, perm ...int) (compute.Value, error) {
	return value(stablehlo.Transpose(node(x), perm...))
}
func (h *hlo) Slice(x compute.Value, starts, limits, strides []int) (compute.Value, error) {
	return value(stablehlo.Slice(node(x), starts, limits, strides))
}
func (h *hlo) Pad(x, fill compute.Value, axes ...compute.PadAxis) (compute.Value, error) {
	var start, end, interior []int
	for _, a := range axes {
		start, end, interior = append(start, a.Start), append(end, a.End), append(interior, a.Interior)
	}
	return value(stablehlo.Pad(node(x), node(fill), start, end, interior))
}
func (h *hlo) Concatenate(axis int, in ...compute.Value) (compute.Value, error) {
	return value(stablehlo.Concatenate(axis, nodes(in)...))
}
func (h *hlo) Reverse(x compute.Value, axes ...int) (compute.Value, error) {
	return value(stablehlo.Reverse(node(x), axes...))
}

func (h *hlo) OptimizationBarrier(in ...compute.Value) ([]compute.Value, error) {
	list, err := stablehlo.OptimizationBarrier(nodes(in)...)
	if err != nil {
		return nil, err
	}
	out := make([]compute.Value, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out, nil
}

func (h *hlo) ReduceSum(x compute.Value, axes ...int) (compute.Value, error) {
	return h.reduce("sum", stablehlo.Add, 0, x, axes)
}
func (h *hlo) ReduceMax(x compute.Value, axes ...int) (compute.Value, error) {
	return h.reduce("max", stablehlo.Maximum, math.Inf(-1), x, axes)
}

// reduce folds axes with a function of two scalars, which is defined once for each element type.
func (h *hlo) reduce(name string, f binary, start float64, x compute.Value, axes []int) (compute.Value, error) {
	dt := node(x).Shape().DType
	key := name + " " + dt.String()
	fold, ok := h.reducers[key]
	if !ok {
		fold = h.main.Closure()
		a, err := fold.NamedInput("a", hloshapes.Make(dt))
		if err != nil {
			return nil, err
		}
		b, err := fold.NamedInput("b", hloshapes.Make(dt))
		if err != nil {
			return nil, err
		}
		v, err := f(a, b)
		if err != nil {
			return nil, err
		}
		if err := fold.Return(v); err != nil {
			return nil, err
		}
		h.reducers[key] = fold
	}
	init, err := h.main.ConstantFromFlatAndShape(flat(dt, []float64{start}), hloshapes.Make(dt))
	if err != nil {
		return nil, err
	}
	return value(stablehlo.Reduce(node(x), init, fold, axes...))
}

// factors returns the operands of a product, and the precision with which to multiply them.
func (h *hlo) factors(a, b compute.Value) (x, y *stablehlo.Value, config types.DotGeneralPrecisionType) {
	x, y = node(a), node(b)
	dt := x.Shape().DType
	if dt == dtypes.BFloat16 || dt == dtypes.Float32 && h.precision == enginename.TF32 {
		return x, y, types.DotGeneralPrecisionDefault
	}
	return x, y, types.DotGeneralPrecisionHighest
}

func (h *hlo) DotGeneral(a compute.Value, aContract, aBatch []int, b compute.Value, bContract, bBatch []int,
	config compute.DotGeneralConfig) (compute.Value, error) {
	x, y, precision := h.factors(a, b)
	return value(stablehlo.DotGeneral(x, aContract, aBatch, y, bContract, bBatch).
		Precision(precision, precision).OutputDType(config.OutputDType).Done())
}

// ConvGeneral returns a convolution. The plugins' libraries sum its products in float32 and round each sum once.
func (h *hlo) ConvGeneral(a, b compute.Value, axes compute.ConvolveAxesConfig, strides []int, paddings [][2]int,
	inputDilations, kernelDilations []int, channelGroups, batchGroups int) (compute.Value, error) {
	x, y, precision := h.factors(a, b)
	return value(stablehlo.Convolution(x, y, strides, paddings, inputDilations, kernelDilations,
		axes.InputBatch, axes.InputChannels, axes.InputSpatial,
		axes.KernelInputChannels, axes.KernelOutputChannels, axes.KernelSpatial,
		axes.OutputBatch, axes.OutputChannels, axes.OutputSpatial,
		channelGroups, batchGroups, precision, precision))
}
