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
	"errors"
	"fmt"

	"gorgonia.org/tensor"
	"vapo/lib/backend"
	"vapo/lib/blas"
	"vapo/lib/kernel"
	"vapo/lib/microkernel"
)

func init() {
	for rank, class := range []string{"go", "openblas"} {
		backend.Register("tape-"+class, rank, func() (backend.Backend, error) { return New(class) })
	}
}

// Tape is the CPU engine over one linear algebra library.
type Tape struct{ lib blas.Library }

// New opens the engine on the given library ("openblas" or "go").
func New(library string) (*Tape, error) {
	lib, err := blas.Open(library)
	if err != nil {
		hint := ""
		if errors.Is(err, blas.ErrNoOpenBLAS) {
			hint = "install OpenBLAS (Debian: apt-get install libopenblas0-pthread) or use --backend tape-go"
		}
		return nil, &backend.UnavailableError{Class: "tape-" + library, Err: err, Hint: hint}
	}
	return &Tape{lib: lib}, nil
}

// Class implements backend.Backend.
func (t *Tape) Class() string { return "tape-" + t.lib.Class() }

// Describe implements backend.Backend.
func (t *Tape) Describe() string {
	return fmt.Sprintf("%s, %d threads, %s, convolutions on %s", t.Class(), kernel.Workers(), t.lib.Version(), microkernel.Name())
}

// Promises implements backend.Backend.
func (t *Tape) Promises() backend.Promises { return backend.Promises{Rows: true, Repeats: true} }

// Compile implements backend.Backend.
func (t *Tape) Compile(g backend.Graph) (backend.Executable, error) {
	dt, err := g.Check()
	if err != nil {
		return nil, err
	}
	if dt == tensor.Float64 {
		return compile[float64](t.lib, g)
	}
	return compile[float32](t.lib, g)
}
