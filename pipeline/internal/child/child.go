// Package child starts child processes that end when this process ends. A runner killed with SIGKILL cannot stop its
// children. Therefore each child holds the read end of a pipe, and only this process holds the write end (see
// contract.ParentFD). When this process ends, the kernel closes the write end, and the child notices and exits. On
// Linux the kernel also kills the child directly. Each child leads its own process group, so that Ctrl-C in the
// terminal reaches only this process, which then stops its children in an orderly way.
//
// TestKillNine and TestTerminate of package pipeline test this package with real processes.
package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"vapo/lib/contract"
)

var lifeline struct {
	once sync.Once
	r, w *os.File
	err  error
}

func pipe() (*os.File, error) {
	lifeline.once.Do(func() { lifeline.r, lifeline.w, lifeline.err = os.Pipe() })
	return lifeline.r, lifeline.err
}

// Run starts cmd, a program of vapo, and waits for it to end. When ctx ends, Run sends the child SIGTERM, and kills it
// if it still runs after grace.
func Run(ctx context.Context, cmd *exec.Cmd, grace time.Duration) error {
	r, err := pipe()
	if err != nil {
		return fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	cmd.ExtraFiles = []*os.File{r} // file descriptor 3 in the child
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, contract.ParentFD+"=3")
	_, err = run(ctx, cmd, grace)
	return err
}

// RunForeign is Run for a program that does not know the pipe. Except on Linux, such a program keeps running if this
// process is killed. If the program gets SIGTERM and then ends with exit code 0, RunForeign returns the cause of ctx,
// because only a program of vapo says with this code that it finished its work. RunForeign kills the processes that a
// stopped program leaves behind, and those that keep its output open.
func RunForeign(ctx context.Context, cmd *exec.Cmd, grace time.Duration) error {
	stopped, err := run(ctx, cmd, grace)
	if stopped || errors.Is(err, exec.ErrWaitDelay) {
		signalGroup(cmd.Process.Pid, syscall.SIGKILL)
	}
	if stopped && err == nil {
		err = context.Cause(ctx)
	}
	return err
}

// run starts cmd and waits for it. It reports whether cmd was stopped because ctx had ended.
func run(ctx context.Context, cmd *exec.Cmd, grace time.Duration) (stopped bool, err error) {
	cmd.SysProcAttr = attributes()
	cmd.WaitDelay = time.Second // otherwise Wait would block while a grandchild holds our pipes open

	// On Linux, the kernel kills the child when the thread that started it ends. That thread must therefore outlive the
	// child.
	result := make(chan error, 1)
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			result <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return false, err
	}
	select {
	case err := <-result:
		return false, err
	case <-ctx.Done():
	}
	signalGroup(cmd.Process.Pid, syscall.SIGTERM)
	select {
	case err := <-result:
		return true, err
	case <-time.After(grace):
		signalGroup(cmd.Process.Pid, syscall.SIGKILL)
		return true, <-result
	}
}

// ExitCode returns the exit code of a program, given the error from Run. If a signal killed the program, the code is
// 128 plus the signal number, as in shells. ok is false if the program did not run.
func ExitCode(err error) (code int, bySignal bool, ok bool) {
	if err == nil {
		return 0, false, true
	}
	exit, isExit := err.(*exec.ExitError)
	if !isExit {
		return 0, false, false
	}
	if ws, isWait := exit.Sys().(syscall.WaitStatus); isWait && ws.Signaled() {
		return 128 + int(ws.Signal()), true, true
	}
	return exit.ExitCode(), false, true
}
