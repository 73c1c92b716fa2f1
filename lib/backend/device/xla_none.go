//go:build !cgo || !linux

package device

import (
	"errors"

	"vapo/lib/backend"
)

const haveXLA = false

// openXLA explains how to get a program that has XLA.
func openXLA(t target) (backend.Backend, error) {
	return nil, &backend.UnavailableError{
		Class: t.class(),
		Err:   errors.New("this program was built without cgo, which XLA's plugins need"),
		Hint:  "on Linux, install a C compiler and build again (make build takes it if it is there; else CGO_ENABLED=1 go build)",
	}
}
