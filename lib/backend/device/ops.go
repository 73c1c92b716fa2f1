package device

import (
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
)

// platform builds programs and holds their values.
type platform interface {
	// build starts a program with parameters of the given shapes.
	build(params []shapes.Shape) (builder, error)
	// upload copies a host slice to a new buffer; it does not keep the slice.
	upload(flat any, shape shapes.Shape) (buffer, error)
	// explain turns a platform's error about a graph into an error of package backend, such as a *backend.MemoryError. by
	// is the estimate of the graph's memory; total is the compiler's figure in bytes, or 0 if it gives none.
	explain(err error, by need, total int64) error
}

// builder is a program under construction. The lowering broadcasts explicitly, so the operands of an elementwise
// operation have equal shapes.
type builder interface {
	compute.Function
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
	// bytes returns the memory that a run takes, in bytes, or 0 if it is not known.
	bytes() int64
}

// buffer is an array on a platform.
type buffer interface {
	ToFlatData(flat any) error
	Finalize() error
}
