//go:build unix

package program

import (
	"io"
	"os"
	"strconv"
	"sync"
	"syscall"

	"vapo/lib/contract"
)

// watchParent ends this process when the parent ends, if the parent has passed a pipe.
var watchParent = sync.OnceFunc(func() {
	fd, err := strconv.Atoi(os.Getenv(contract.ParentFD))
	if err != nil || fd < 3 {
		return
	}
	syscall.CloseOnExec(fd)
	pipe := os.NewFile(uintptr(fd), "parent")
	if pipe == nil {
		return
	}
	go func() {
		_, _ = io.Copy(io.Discard, pipe) // returns when the parent has exited, with or without an error
		exit()
	}()
})
