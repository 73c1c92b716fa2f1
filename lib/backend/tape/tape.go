// Package tape runs expression graphs on the CPU: Gorgonia's graph, sorted once into a straight list of kernel
// calls over buffers planned in advance.
//
// Compiling does what an interpreter of single nodes cannot: pointwise operations and the sums of rows between them,
// a whole normalisation or its second derivative, run together row by row (fuse.go, space.go, lower.go), what is cheaper
// to compute twice than to store is (recompute.go), reshapes cost nothing, and values whose lifetimes do not meet share
// memory (plan.go). A run then allocates nothing. The result depends neither on the number of threads nor on what was
// fused.
//
// Note: Gorgonia's own tape machine runs the same nodes (TestGorgoniaMachineAgrees) and is the design's reference,
// but it allocates a tensor for every node at every run and stores every pointwise intermediate: some 5,300 allocations
// and 11 MB a step of a perceptron of width 128, where this package makes none (BenchmarkStep).
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

// Class implements backend.Backend. It is the same on every machine, because the results have the same bits on AVX-512,
// AVX2, NEON and without vector instructions.
func (Tape) Class() string { return enginename.Tape }

// Describe implements backend.Backend.
func (Tape) Describe() string {
	return fmt.Sprintf("%s, %d threads, %s", enginename.Tape, kernel.Workers(), microkernel.Name())
}

// Promises implements backend.Backend.
func (Tape) Promises() backend.Promises { return backend.Promises{Rows: true, Repeats: true} }

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
