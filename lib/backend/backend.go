// Package backend defines what a compute engine must do: compile an expression graph and run it.
//
// A graph is one whole step. State and inputs go in, new state and outputs come out, and the state stays in the
// engine's memory between runs. An engine returns an error for what it cannot do; nothing falls back silently. Package
// backendtest holds the conformance tests of this contract, package engine lists the engines, and package enginename
// defines their names.
package backend

import (
	"cmp"
	"errors"
	"fmt"

	"vapo/lib/failure"
	"vapo/lib/graphop"
)

// Buffer is an array in host memory, or an input that Executable.Upload has copied. One of its fields holds the values;
// the others are nil.
type Buffer struct {
	F32 []float32
	F64 []float64

	Uploaded any // a copy in an engine's memory, of a type of that engine
}

// Len returns the number of elements in host memory.
func (b Buffer) Len() int { return len(b.F32) + len(b.F64) }

// F32 wraps a float32 slice.
func F32(v []float32) Buffer { return Buffer{F32: v} }

// State is a value that the engine keeps between runs. The node In stands for the current value and carries the state's
// name. After each run the state takes the value of Out. If Out is nil, only Load changes the state.
type State struct {
	In, Out *graphop.Node
	// If Exact is set, values that are computed from the state keep the graph's element type, even if the engine rounds
	// activations to bfloat16. The samples of a solver need this, because a solver adds many small steps to them. Weights
	// do not need it.
	Exact bool
}

// Graph is what an engine compiles. All nodes belong to one expression graph and share one element type.
type Graph struct {
	Inputs  []*graphop.Node // passed to every run, in this order
	State   []State
	Outputs []*graphop.Node // returned by every run, in this order
}

// Executable is a compiled graph with its state. It must not be used by several goroutines at a time, except that
// Upload may be called during a Run.
type Executable interface {
	// Run computes the outputs and the next states from the inputs and the current state. The slice in is parallel to
	// Graph.Inputs. Run fills the slice out, which is parallel to Graph.Outputs. The engine does not keep the slices. If a
	// buffer has the wrong length or element type, Run returns an error and leaves the state unchanged.
	Run(in, out []Buffer) error
	// Upload copies v, the value of input i in a later run, to the engine's memory. The caller passes the returned copy to
	// one Run in place of v. The inputs of a step can thus be copied during the previous step. An engine that computes in
	// host memory makes no copy and returns v itself. So the caller must not change v until that Run has ended.
	Upload(i int, v Buffer) (Buffer, error)
	// Load sets the state with the given name. States are 0 until they are loaded.
	Load(name string, v Buffer) error
	// Store copies the state with the given name into v.
	Store(name string, v Buffer) error
	// MemoryBytes returns the memory that the executable holds for values and scratch.
	MemoryBytes() int64
}

// Backend is an open engine.
type Backend interface {
	// Class returns the engine's name as results record it; see enginename. Engines whose results may differ in any bit
	// have different classes.
	Class() string
	// Describe returns one line for people: the libraries and versions in use.
	Describe() string
	// Promises returns what this engine guarantees in addition to what all engines guarantee.
	Promises() Promises
	// Memory returns the bytes that the engine can use for graphs, or 0 if that is not known.
	Memory() int64
	// Compile compiles g; see Graph.Check for what makes a graph valid. Compile returns a *MemoryError if the graph
	// needs more memory than is available.
	Compile(g Graph) (Executable, error)
}

// Promises are properties of results that some engines guarantee. Without the promise a property may still hold, but
// no caller may rely on it.
type Promises struct {
	// Rows: a row of a batch has the same bits whatever the other rows hold.
	Rows bool
	// Repeats: the same inputs give the same bits in every process on the same machine.
	Repeats bool
	// FactorBits is the number of mantissa bits that the factors of float32 matrix products and convolutions keep; 0
	// stands for all 23. If FactorBits is below 10, the activations between products keep only as many bits too.
	FactorBits int
}

// UnavailableError reports an engine that cannot run on this machine.
type UnavailableError struct {
	Class string
	Err   error
	Hint  string // what the user can do about it
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("backend %s is not available: %v", e.Class, e.Err)
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// FailureClass implements failure.Carrier.
func (e *UnavailableError) FailureClass() failure.Class { return failure.Resources }

// FailureHint implements failure.Carrier.
func (e *UnavailableError) FailureHint() string { return e.Hint }

// MemoryError reports a graph that needs more memory than is available.
type MemoryError struct {
	Need, Have int64  // bytes; Have is 0 if it is not known
	Device     string // the device whose memory is too small; empty for the machine's main memory
	// Batch is an estimate of the largest batch that would fit, where the batch is the length of the first input's
	// first axis. 0 means that there is no estimate.
	Batch int
	Fixed bool  // the user cannot change the batch, see FixedBatch
	Err   error // the engine's own error, if any
}

// FixedBatch returns err. If err contains a *MemoryError, FixedBatch first records in it that the user cannot change
// the batch.
func FixedBatch(err error) error {
	var e *MemoryError
	if errors.As(err, &e) {
		e.Fixed = true
	}
	return err
}

func (e *MemoryError) Error() string {
	const gib = 1 << 30
	need, have := float64(e.Need)/gib, float64(e.Have)/gib
	owner := cmp.Or(e.Device, "the machine")
	if e.Have == 0 {
		return fmt.Sprintf("the computation needs about %.1f GiB, more memory than %s has free", need, owner)
	}
	return fmt.Sprintf("the computation needs %.1f GiB of memory, but %s has only %.1f GiB", need, owner, have)
}

func (e *MemoryError) Unwrap() error { return e.Err }

// FailureClass implements failure.Carrier.
func (e *MemoryError) FailureClass() failure.Class { return failure.Resources }

// FailureHint implements failure.Carrier.
func (e *MemoryError) FailureHint() string {
	switch {
	case e.Fixed:
		return "use a smaller network or a device with more memory"
	case e.Batch > 0:
		return fmt.Sprintf("a batch of about %d would fit", e.Batch)
	}
	return "use a smaller batch or a smaller network"
}
