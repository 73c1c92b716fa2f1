// Package backend compiles expression graphs and runs them, behind one interface that says what an engine must do.
//
// A graph is one whole step: state and inputs go in, new state and outputs come out, and the state stays where the
// engine computes. Engines register themselves under a class, which names everything that can change the bits of a
// result ("tape", "xla-cuda"), so the class belongs to a result's identity; "auto" is resolved to a class
// before anything is keyed or run. What an engine cannot do it refuses with an error: nothing falls back silently.
package backend

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"vapo/lib/cachekey"
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
	// Promises says what holds of this engine beyond what holds of all.
	Promises() Promises
	Compile(g Graph) (Executable, error)
}

// Promises are properties of results that one engine can keep and another cannot. What an engine does not promise may
// still be so; nothing may rely on it.
type Promises struct {
	// Rows: a row of a batch gets the same bits whatever the other rows hold.
	Rows bool
	// Repeats: the same inputs give the same bits in every process on the same machine.
	Repeats bool
	// FactorBits are the bits of mantissa that factors of float32 matrix products and convolutions keep where that is
	// fewer than 23; 0: all.
	FactorBits int
}

// UnknownError says that no engine of a name is linked into this program.
type UnknownError struct {
	Name  string
	Known []string
	Now   string // what the engine is called today, if a former version had one of this name
}

func (e *UnknownError) Error() string {
	if e.Now != "" {
		return fmt.Sprintf("backend %q is called %q now", e.Name, e.Now)
	}
	return fmt.Sprintf("backend %q is not known: expected one of %s", e.Name, strings.Join(e.Known, ", "))
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

// OptionError says that an engine does not have an option that its name asks for.
type OptionError struct {
	Class, Option string
	Reason        string
}

func (e *OptionError) Error() string {
	return fmt.Sprintf("backend %s has no option %q: %s", e.Class, e.Option, e.Reason)
}

// MemoryError says that a graph needs more memory than there is.
type MemoryError struct {
	Need, Have int64  // bytes; Have is 0 where it is not known
	Device     string // whose memory; empty for the machine's
	// Batch is the largest size of the first input's first axis that would fit, by the graph's own arithmetic; 0
	// where none can be told.
	Batch int
	Err   error // what the engine said, if anything
}

func (e *MemoryError) Error() string {
	const gib = 1 << 30
	who := e.Device
	if who == "" {
		who = "the machine"
	}
	if e.Have == 0 {
		return fmt.Sprintf("the computation needs about %.1f GiB, more memory than %s has free", float64(e.Need)/gib, who)
	}
	return fmt.Sprintf("the computation needs %.1f GiB of memory, %s has %.1f GiB", float64(e.Need)/gib, who, float64(e.Have)/gib)
}

func (e *MemoryError) Unwrap() error { return e.Err }

type engine struct {
	class string
	open  func() (Backend, error)
}

// Family is a set of engines that cannot be listed beforehand, such as one for every plugin there may be.
type Family struct {
	// Names shows how its names look.
	Names []string
	// Class tells the class that a name stands for without opening anything. ok is false for a name of no engine of
	// the family; an error is for a name that is one, with an option that it cannot have.
	Class func(name string) (class string, ok bool, err error)
	// Open opens the engine of a name or class of the family.
	Open func(name string) (Backend, error)
	// Auto names the engine that auto should try before the registered classes, if any, and says why, or why not.
	Auto func() (name, why string)
}

var (
	mu       sync.Mutex
	engines  []engine
	families []Family
)

// Register makes an engine known; engines call it from init. Auto takes the first that opens, in the order of
// registration.
func Register(class string, open func() (Backend, error)) {
	mu.Lock()
	defer mu.Unlock()
	engines = append(engines, engine{class, open})
}

// RegisterFamily makes a family of engines known.
func RegisterFamily(f Family) {
	mu.Lock()
	defer mu.Unlock()
	families = append(families, f)
}

func registered() ([]engine, []Family) {
	mu.Lock()
	defer mu.Unlock()
	return append([]engine(nil), engines...), append([]Family(nil), families...)
}

// Classes lists the registered classes, families left out.
func Classes() []string {
	list, _ := registered()
	var out []string
	for _, e := range list {
		out = append(out, e.class)
	}
	return out
}

// Names lists what Open understands, as people write it.
func Names() []string {
	out := append([]string{"auto"}, Classes()...)
	_, others := registered()
	for _, f := range others {
		out = append(out, f.Names...)
	}
	return out
}

// Choice is the engine that a name came to.
type Choice struct {
	Backend Backend
	Why     string // what spoke for it and against others, where there was a choice
}

// Choose opens the engine of a name: a class, a name of a family, or "auto" for the best that works here.
func Choose(name string) (Choice, error) {
	list, others := registered()
	var why []string
	if name == "auto" {
		for _, f := range others {
			if f.Auto == nil {
				continue
			}
			first, reason := f.Auto()
			if first != "" {
				b, err := f.Open(first)
				if err == nil {
					return Choice{b, reason}, nil
				}
				reason = fmt.Sprintf("%s did not open: %v", first, err)
			}
			why = append(why, reason)
		}
	}
	var last error
	for _, e := range list {
		if name != "auto" && name != e.class {
			continue
		}
		b, err := e.open()
		if err == nil {
			return Choice{b, strings.Join(why, "; ")}, nil
		}
		why = append(why, err.Error())
		if last == nil {
			last = err
		}
	}
	if last != nil {
		return Choice{}, last
	}
	for _, f := range others {
		if _, ok, err := f.Class(name); err != nil {
			return Choice{}, err
		} else if ok {
			b, err := f.Open(name)
			return Choice{Backend: b}, err
		}
	}
	return Choice{}, unknown(name)
}

// unknown is the error for a name of no engine.
func unknown(name string) error {
	if base, option, ok := strings.Cut(name, ","); ok {
		if slices.Contains(Classes(), base) {
			return &OptionError{Class: base, Option: option, Reason: "it computes in the element type, and takes none"}
		}
	}
	e := &UnknownError{Name: name, Known: Names()}
	if now := cachekey.CurrentBackend(name); now != name {
		e.Now = now
	}
	return e
}

// Open opens the engine of a name, see Choose.
func Open(name string) (Backend, error) {
	c, err := Choose(name)
	if err != nil {
		return nil, err
	}
	return c.Backend, nil
}

// Resolve returns the class that Open(name) gives on this machine. It opens engines only where it must choose.
func Resolve(name string) (string, error) {
	list, others := registered()
	for _, e := range list {
		if e.class == name {
			return name, nil
		}
	}
	if name == "auto" {
		b, err := Open(name)
		if err != nil {
			return "", err
		}
		return b.Class(), nil
	}
	for _, f := range others {
		if class, ok, err := f.Class(name); err != nil {
			return "", err
		} else if ok {
			return class, nil
		}
	}
	return "", unknown(name)
}
