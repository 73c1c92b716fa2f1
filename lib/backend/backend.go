// Package backend compiles expression graphs and runs them, behind one interface that says what an engine must do.
//
// A graph is one whole step: state and inputs go in, new state and outputs come out, and the state stays where the
// engine computes. Engines register themselves under a class, which names everything that can change the bits of a
// result ("tape-openblas", "tape-go"), so the class belongs to a result's identity; "auto" is resolved to a class
// before anything is keyed or run. What an engine cannot do it refuses with an error: nothing falls back silently.
package backend

import (
	"fmt"
	"sort"
	"strings"
	"sync"

	"vapo/lib/graphop"
)

// Buffer is a host array in one of the element types; the other field is nil.
type Buffer struct {
	F32 []float32
	F64 []float64
}

// Len is the number of elements.
func (b Buffer) Len() int { return len(b.F32) + len(b.F64) }

// F32 wraps a float32 slice.
func F32(v []float32) Buffer { return Buffer{F32: v} }

// F64 wraps a float64 slice.
func F64(v []float64) Buffer { return Buffer{F64: v} }

// State is a value that lives in the engine between runs. In is the input node that carries its name; after each
// run it takes the value of Out. A nil Out makes it a constant that Load may change.
type State struct {
	In, Out *graphop.Node
}

// Graph is what an engine compiles. All nodes belong to one expression graph and share one element type.
type Graph struct {
	Inputs  []*graphop.Node // fed at every run, in this order
	State   []State
	Outputs []*graphop.Node // read after every run, in this order
}

// Executable is a compiled graph with its state. It is used by one goroutine at a time.
type Executable interface {
	// Run feeds in (parallel to Graph.Inputs), computes, updates the state and fills out (parallel to
	// Graph.Outputs). The slices stay the caller's; engines do not keep them.
	Run(in, out []Buffer) error
	// Load sets the state of the given name.
	Load(name string, v Buffer) error
	// Store copies the state of the given name into v.
	Store(name string, v Buffer) error
	// MemoryBytes is what the executable holds for values and scratch, in bytes.
	MemoryBytes() int64
}

// Backend is an engine, opened.
type Backend interface {
	// Class is the recorded name: it differs wherever bits may differ.
	Class() string
	// Describe is a line for people: libraries and versions in use.
	Describe() string
	Compile(g Graph) (Executable, error)
}

// UnknownError says that no engine of a name is linked into this program.
type UnknownError struct {
	Name  string
	Known []string
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("backend %q is not known: expected one of auto, %s", e.Name, strings.Join(e.Known, ", "))
}

// UnavailableError says that an engine is linked in but cannot run on this machine.
type UnavailableError struct {
	Class string
	Err   error
	Hint  string
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("backend %s is not available: %v", e.Class, e.Err)
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// MemoryError says that a graph needs more memory than the machine has.
type MemoryError struct{ Need, Have int64 } // bytes

func (e *MemoryError) Error() string {
	return fmt.Sprintf("the computation needs %.1f GiB of memory, the machine has %.1f GiB", float64(e.Need)/(1<<30), float64(e.Have)/(1<<30))
}

type engine struct {
	class string
	rank  int
	open  func() (Backend, error)
}

var (
	mu      sync.Mutex
	engines []engine
)

// Register makes an engine known; engines call it from init. Of the engines that open, auto takes the one of
// the highest rank.
func Register(class string, rank int, open func() (Backend, error)) {
	mu.Lock()
	defer mu.Unlock()
	engines = append(engines, engine{class, rank, open})
	sort.SliceStable(engines, func(i, j int) bool { return engines[i].rank > engines[j].rank })
}

// Classes lists the registered classes, best first.
func Classes() []string {
	mu.Lock()
	defer mu.Unlock()
	var out []string
	for _, e := range engines {
		out = append(out, e.class)
	}
	return out
}

// Open opens the engine of a class, or the best one that works here for "auto".
func Open(name string) (Backend, error) {
	mu.Lock()
	list := append([]engine(nil), engines...)
	mu.Unlock()
	var last error
	for _, e := range list {
		if name != "auto" && name != e.class {
			continue
		}
		b, err := e.open()
		if err == nil {
			return b, nil
		}
		if last == nil {
			last = err
		}
		if name != "auto" {
			return nil, err
		}
	}
	if last != nil {
		return nil, last
	}
	return nil, &UnknownError{Name: name, Known: Classes()}
}

// Resolve returns the class that Open(name) gives on this machine.
func Resolve(name string) (string, error) {
	if name != "auto" {
		for _, c := range Classes() {
			if c == name {
				return name, nil
			}
		}
		return "", &UnknownError{Name: name, Known: Classes()}
	}
	b, err := Open(name)
	if err != nil {
		return "", err
	}
	return b.Class(), nil
}
