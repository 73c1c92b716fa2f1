//go:build !cgo || !linux

package device

import (
	"errors"

	"vapo/lib/backend"
	"vapo/lib/enginename"
)

const haveXLA = false

// OpenXLA returns an error that says how to build a program with XLA.
func OpenXLA(name enginename.Name, _ *Tuner) (backend.Backend, error) {
	return nil, &backend.UnavailableError{
		Class: name.Class(),
		Err:   errors.New("this program was built without XLA, which needs Linux and cgo"),
		Hint:  "on Linux, install a C compiler and run make build again (or CGO_ENABLED=1 go build)",
	}
}
