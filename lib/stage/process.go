package stage

import (
	"context"
	"io"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
)

// ParentFD is the environment variable by which a parent hands the read end of
// a pipe to its child. Nothing is ever written to it: it reaches its end when
// the parent is gone, however it went, and the child then leaves at once
// instead of computing on as an orphan.
const ParentFD = "VAPO_PARENT_FD"

// Lifetime gives a context that SIGTERM, SIGINT and, except under nohup, SIGHUP
// cancel with the cause ErrTerminated. A second signal ends the process at once.
func Lifetime() (context.Context, func()) {
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
			cancel(ErrTerminated)
		case <-done:
			return
		}
		select {
		case <-signals:
			cleanup()
			exit(ExitTerminated)
		case <-done:
		}
	}()
	watchParent.Do(watch)
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}

var watchParent sync.Once

func watch() {
	fd, err := strconv.Atoi(os.Getenv(ParentFD))
	if err != nil || fd < 3 {
		return
	}
	syscall.CloseOnExec(fd)
	pipe := os.NewFile(uintptr(fd), "parent")
	if pipe == nil {
		return
	}
	go func() {
		_, _ = io.Copy(io.Discard, pipe) // either way the parent is gone
		cleanup()
		exit(ExitTerminated)
	}()
}

// scratches are the temporary directories to remove if the process has to
// leave without unwinding.
var scratches struct {
	sync.Mutex
	dirs map[string]bool
}

func cleanup() {
	scratches.Lock()
	defer scratches.Unlock()
	for dir := range scratches.dirs {
		_ = os.RemoveAll(dir) // leaving anyway
	}
}

// scratch is a temporary directory.
type scratch struct{ dir string }

func newScratch() (*scratch, error) {
	dir, err := os.MkdirTemp("", "vapo-stage-")
	if err != nil {
		return nil, Fail(ExitResources, "set TMPDIR to a directory that can be written", "no scratch directory: %w", err)
	}
	scratches.Lock()
	defer scratches.Unlock()
	if scratches.dirs == nil {
		scratches.dirs = map[string]bool{}
	}
	scratches.dirs[dir] = true
	return &scratch{dir}, nil
}

func (s *scratch) remove() {
	scratches.Lock()
	defer scratches.Unlock()
	delete(scratches.dirs, s.dir)
	_ = os.RemoveAll(s.dir) // the system cleans its temporary directory
}
