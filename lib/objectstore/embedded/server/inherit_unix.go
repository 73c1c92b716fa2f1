//go:build unix

package server

import (
	"os"
	"strconv"
	"syscall"
)

// inherit returns the file whose descriptor a variable names, or nil.
func inherit(name string) *os.File {
	fd, err := strconv.Atoi(os.Getenv(name))
	if err != nil || fd < 3 {
		return nil
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name)
}
