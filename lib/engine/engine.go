// Package engine opens the compute engine that a stage was asked for and says what went wrong in the terms of the
// stage contract. It is the one place that decides which engines are linked into the stages.
package engine

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"vapo/lib/backend"
	_ "vapo/lib/backend/device" // registers go and xla
	_ "vapo/lib/backend/tape"   // registers tape
	"vapo/lib/failure"
	"vapo/lib/stage"
)

// Name is the value of a stage's --backend parameter: "auto", or the name of an engine as it is recorded, which is its
// class, except that a plugin named by its path keeps the path.
type Name string

// UnmarshalText makes a name one that is recorded, or refuses it: a flag is checked when it is parsed.
func (n *Name) UnmarshalText(text []byte) error {
	name := string(text)
	if name == auto {
		*n = auto
		return nil
	}
	class, err := backend.Resolve(name)
	if err != nil {
		return err
	}
	if strings.Contains(name, "/") {
		class = strings.TrimSuffix(name, ",float32") // what it is anyway
	}
	*n = Name(class)
	return nil
}

const auto = "auto"

// chosen remembers what "auto" came to in this process, so that the engine is not searched for twice and can say why it
// was taken.
var chosen struct {
	sync.Mutex
	class, why string
}

// explained is an engine with the reason why it was chosen.
type explained struct {
	backend.Backend
	why string
}

// Describe implements backend.Backend.
func (e explained) Describe() string {
	return e.Backend.Describe() + " (the choice of auto: " + e.why + ")"
}

// Open opens the engine of a name, or the best one for "auto".
func Open(name Name) (backend.Backend, error) {
	if name == auto {
		name = Resolve(auto)
	}
	c, err := backend.Choose(string(name))
	var unknown *backend.UnknownError
	var option *backend.OptionError
	var unavailable *backend.UnavailableError
	switch {
	case errors.As(err, &unknown), errors.As(err, &option):
		return nil, failure.New(failure.Usage, "", "%w", err)
	case errors.As(err, &unavailable):
		return nil, failure.New(failure.Resources, unavailable.Hint, "%w", err)
	case err != nil:
		return nil, err
	}
	chosen.Lock()
	defer chosen.Unlock()
	if chosen.class == c.Backend.Class() && chosen.why != "" {
		return explained{c.Backend, chosen.why}, nil
	}
	return c.Backend, nil
}

// Record writes down and logs which engine a job computes on, and warns of what it does not promise.
func Record(job *stage.Job, be backend.Backend) {
	job.SetBackend(be.Class())
	job.SetVersion("backend", be.Describe())
	job.Log().Info("backend", "class", be.Class(), "using", be.Describe())
	if p := be.Promises(); !p.Repeats {
		job.Warn("%s need not give the same bits in another process: the same run again, or one that was stopped and resumed, agrees closely, not exactly", be.Class())
	}
}

// Explain turns what an engine says of a graph it cannot run into the contract's terms; other errors stay as they are.
func Explain(err error) error {
	var memory *backend.MemoryError
	var unavailable *backend.UnavailableError
	var coded failure.Carrier
	switch {
	case errors.As(err, &coded): // in the contract's terms already
	case errors.As(err, &memory):
		hint := "use a smaller batch or a smaller network"
		if memory.Batch > 0 {
			hint = fmt.Sprintf("a batch of about %d would fit", memory.Batch)
		}
		return failure.New(failure.Resources, hint, "%w", err)
	case errors.As(err, &unavailable):
		return failure.New(failure.Resources, unavailable.Hint, "%w", err)
	}
	return err
}

// Resolve returns the class that a name stands for on this machine; what is unknown stays as it is and fails in Open.
func Resolve(name Name) Name {
	if name != auto {
		if class, err := backend.Resolve(string(name)); err == nil {
			return Name(class)
		}
		return name
	}
	chosen.Lock()
	defer chosen.Unlock()
	if chosen.class == "" {
		c, err := backend.Choose(auto)
		if err != nil {
			return name
		}
		chosen.class, chosen.why = c.Backend.Class(), c.Why
	}
	return Name(chosen.class)
}

// Auto returns the engine that "auto" stands for on this machine, and any other name as it is.
func Auto(name Name) Name {
	if name != auto {
		return name
	}
	return Resolve(auto)
}

// Linked lists the engines in this program that need no plugin.
func Linked() []string { return backend.Classes() }
