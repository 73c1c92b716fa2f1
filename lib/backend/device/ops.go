package device

import (
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
)

// ops are the operations that graphs are lowered to. They are a subset of compute.Function. The lowering broadcasts
// explicitly, so the operands of an elementwise operation have equal shapes.
type ops interface {
	Constant(flat any, dims ...int) (compute.Value, error)
	Iota(shape shapes.Shape, axis int) (compute.Value, error)

	Add(a, b compute.Value) (compute.Value, error)
	Sub(a, b compute.Value) (compute.Value, error)
	Mul(a, b compute.Value) (compute.Value, error)
	Div(a, b compute.Value) (compute.Value, error)
	Max(a, b compute.Value) (compute.Value, error)
	Min(a, b compute.Value) (compute.Value, error)
	BitwiseXor(a, b compute.Value) (compute.Value, error)
	ShiftRightLogical(a, b compute.Value) (compute.Value, error)
	GreaterThan(a, b compute.Value) (compute.Value, error)
	GreaterOrEqual(a, b compute.Value) (compute.Value, error)
	Equal(a, b compute.Value) (compute.Value, error)
	NotEqual(a, b compute.Value) (compute.Value, error)

	Exp(x compute.Value) (compute.Value, error)
	Log(x compute.Value) (compute.Value, error)
	Sqrt(x compute.Value) (compute.Value, error)
	Sin(x compute.Value) (compute.Value, error)
	Cos(x compute.Value) (compute.Value, error)
	Logistic(x compute.Value) (compute.Value, error)
	IsFinite(x compute.Value) (compute.Value, error)
	ConvertDType(x compute.Value, to dtypes.DType) (compute.Value, error)
	Where(condition, a, b compute.Value) (compute.Value, error)

	BroadcastInDim(x compute.Value, shape shapes.Shape, axes []int) (compute.Value, error)
	Reshape(x compute.Value, dims ...int) (compute.Value, error)
	Transpose(x compute.Value, perm ...int) (compute.Value, error)
	Slice(x compute.Value, starts, limits, strides []int) (compute.Value, error)
	Pad(x, fill compute.Value, axes ...compute.PadAxis) (compute.Value, error)
	Concatenate(axis int, in ...compute.Value) (compute.Value, error)
	Reverse(x compute.Value, axes ...int) (compute.Value, error)
	ReduceSum(x compute.Value, axes ...int) (compute.Value, error)
	ReduceMax(x compute.Value, axes ...int) (compute.Value, error)

	DotGeneral(a compute.Value, aContract, aBatch []int, b compute.Value, bContract, bBatch []int,
		config compute.DotGeneralConfig) (compute.Value, error)
	ConvGeneral(x, kernel compute.Value, axes compute.ConvolveAxesConfig, strides []int, paddings [][2]int,
		inputDilations, kernelDilations []int, channelGroups, batchGroups int) (compute.Value, error)
}

var _ ops = compute.Function(nil)

// platform builds programs and holds their values.
type platform interface {
	// build starts a program with parameters of the given shapes.
	build(params []shapes.Shape) (builder, error)
	// upload copies a host slice to a new buffer; it does not keep the slice.
	upload(flat any, shape shapes.Shape) (buffer, error)
	// explain turns a platform's error about a graph into an error of package backend, such as a *backend.MemoryError.
	// by is the estimate of the graph's memory; total is the compiler's figure in bytes, or 0.
	explain(err error, by need, total int64) error
}

// builder is a program under construction.
type builder interface {
	ops
	// parameters returns the program's inputs in order.
	parameters() []compute.Value
	// compile finishes the program with the given outputs, which must be distinct. Output number heirs[i] may reuse the
	// memory of parameter i if that parameter is donated to a run; -1 means that no output may.
	compile(outputs []compute.Value, heirs []int) (program, error)
}

// program is a compiled computation.
type program interface {
	// execute runs the program and returns its outputs in new buffers. The caller must not use donated inputs
	// afterwards, not even after an error.
	execute(in []buffer, donate []bool) ([]buffer, error)
	// bytes returns the memory that a run takes, or 0 if it is not known.
	bytes() int64
}

// buffer is an array on a platform.
type buffer interface {
	ToFlatData(flat any) error
	Finalize() error
}
