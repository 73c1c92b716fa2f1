//go:build !(linux || darwin || freebsd)

package blas

import "errors"

// ErrNoOpenBLAS says that no OpenBLAS could be opened on this machine.
var ErrNoOpenBLAS = errors.New("openblas is not supported on this system")

func openBLAS() (Library, error) { return nil, ErrNoOpenBLAS }
