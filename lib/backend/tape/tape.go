// Package tape runs expression graphs on the CPU. It compiles Gorgonia's graph once to a list of kernel calls on
// buffers planned in advance.
//
// The compiler fuses pointwise operations and the row sums between them, such as a whole normalisation or its second
// derivative, and runs them together row by row (fuse.go, space.go, lower.go). It recomputes values that are cheaper to
// compute twice than to store (recompute.go), implements reshapes without copying, and places values whose lifetimes do
// not overlap in the same memory (plan.go). A run allocates nothing. The results depend neither on the number of
// threads nor on what is fused.
//
// Note: Gorgonia's own tape machine runs the same nodes (TestGorgoniaMachineAgrees), but it allocates a tensor for
// every node at every run and stores every pointwise intermediate. One training step of a perceptron of width 128 makes
// about 5,300 allocations (11 MB) on that machine and none in this package (BenchmarkStep).
package tape

import (
	"fmt"

	"gorgonia.org/tensor"
	"vapo/lib/backend"
	"vapo/lib/enginename"
	"vapo/lib/kernel"
	"vapo/lib/microkernel"
)

// Tape is the CPU engine. The zero value is ready for use.
type Tape struct{}

// Class implements backend.Backend. The class is the same on every machine, because the results have the same bits on
// AVX-512, AVX2, NEON and without vector instructions.
func (Tape) Class() string { return enginename.Tape }

// Describe implements backend.Backend.
func (Tape) Describe() string {
	return fmt.Sprintf("%s, %d threads, %s", enginename.Tape, kernel.Workers(), microkernel.Name())
}

// Promises implements backend.Backend.
func (Tape) Promises() backend.Promises { return backend.Promises{Rows: true, Repeats: true} }

// Memory implements backend.Backend.
func (Tape) Memory() int64 { return physicalMemory() }

// Compile implements backend.Backend.
func (Tape) Compile(g backend.Graph) (backend.Executable, error) {
	dt, err := g.Check()
	if err != nil {
		return nil, err
	}
	if dt == tensor.Float64 {
		return compile[float64](g)
	}
	return compile[float32](g)
}
