package program

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"vapo/lib/failure"
)

// Lifetime returns a context that SIGTERM, SIGINT and, except under nohup, SIGHUP cancel with the cause
// failure.ErrTerminated. A later signal ends the process at once. If the parent passed a pipe (contract.ParentFD), the
// exit of the parent also ends the process at once.
//
// Signals within a second count as one. A batch system that cancels a job signals all of its processes, and then the
// runner signals the stage as well. The second of these signals must not keep the stage from saving its state.
func Lifetime() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	done := make(chan struct{})
	go func() {
		select {
		case <-signals:
			cancel(failure.ErrTerminated)
		case <-done:
			return
		}
		first := time.Now()
		for {
			select {
			case <-signals:
				if time.Since(first) > time.Second {
					exit()
				}
			case <-done:
				return
			}
		}
	}()
	watchParent()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}

// scratch lists the temporary directories to remove if the process exits without running deferred calls.
var scratch struct {
	sync.Mutex
	dirs map[string]bool
}

func exit() {
	scratch.Lock()
	defer scratch.Unlock()
	for dir := range scratch.dirs {
		_ = os.RemoveAll(dir) // nobody is left to receive an error
	}
	os.Exit(int(failure.Terminated))
}

// Scratch creates a temporary directory, which the caller must delete with remove. If a later signal or the exit of the
// parent ends the process at once (see Lifetime), the directory is deleted as well.
func Scratch() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp("", "vapo-stage-")
	if err != nil {
		return "", nil, failure.New(failure.Resources, "set TMPDIR to a writable directory", "temporary directory: %w", err)
	}
	scratch.Lock()
	defer scratch.Unlock()
	if scratch.dirs == nil {
		scratch.dirs = map[string]bool{}
	}
	scratch.dirs[dir] = true
	return dir, func() {
		scratch.Lock()
		defer scratch.Unlock()
		delete(scratch.dirs, dir)
		_ = os.RemoveAll(dir) // if this fails, the system cleans up its temporary directory later
	}, nil
}
