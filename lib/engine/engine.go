// Package engine opens the compute engine that a stage was asked for and says what went wrong in the terms of the
// stage contract. It is the one place that decides which engines are linked into the stages.
package engine

import (
	"errors"

	"vapo/lib/backend"
	_ "vapo/lib/backend/device" // registers go and xla
	_ "vapo/lib/backend/tape"   // registers tape-openblas and tape-go
	"vapo/lib/stage"
)

// Help is the help text of a stage's --backend parameter.
const Help = "Compute engine: auto (the best one here), tape-openblas or tape-go."

// Open opens the engine of a class, or the best one for "auto".
func Open(name string) (backend.Backend, error) {
	be, err := backend.Open(name)
	var unknown *backend.UnknownError
	var unavailable *backend.UnavailableError
	switch {
	case errors.As(err, &unknown):
		return nil, stage.Fail(stage.ExitUsage, "", "%w", err)
	case errors.As(err, &unavailable):
		return nil, stage.Fail(stage.ExitResources, unavailable.Hint, "%w", err)
	}
	return be, err
}

// Explain turns what an engine says of a graph it cannot run into the contract's terms; other errors stay as they are.
func Explain(err error) error {
	var memory *backend.MemoryError
	if errors.As(err, &memory) {
		return stage.Fail(stage.ExitResources, "use a smaller batch or a smaller network", "%w", err)
	}
	return err
}

// Resolve returns the class that a name stands for on this machine; what is unknown stays as it is and fails in Open.
func Resolve(name string) string {
	if class, err := backend.Resolve(name); err == nil {
		return class
	}
	return name
}
