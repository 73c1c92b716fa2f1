// Package child starts programs that cannot outlive this one. A runner killed with SIGKILL cannot stop its children.
// Therefore each child holds the read end of a pipe whose only write end is here (see contract.ParentFD): the kernel
// closes it when this process ends, and the child exits. On Linux the kernel also kills the child itself. Each child
// leads its own process group, so that Ctrl-C at the terminal reaches only this process, which then stops its children
// in order.
//
// TestKillNine and TestTerminate of package pipeline test it with real processes.
package child

import (
	"context"
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

// Run starts cmd and waits for it. When ctx ends it sends the child SIGTERM, and kills it if it is still running after
// grace.
func Run(ctx context.Context, cmd *exec.Cmd, grace time.Duration) error {
	r, err := pipe()
	if err != nil {
		return fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	cmd.ExtraFiles = []*os.File{r} // becomes descriptor 3
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, contract.ParentFD+"=3")
	cmd.SysProcAttr = attributes()
	cmd.WaitDelay = time.Second // a grandchild must not hold our pipes open

	// The kernel sends the death signal when the thread that started the child ends, so that thread must outlive the
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
		return err
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
	}
	signalGroup(cmd.Process.Pid, syscall.SIGTERM)
	select {
	case err := <-result:
		return err
	case <-time.After(grace):
		signalGroup(cmd.Process.Pid, syscall.SIGKILL)
		return <-result
	}
}

func signalGroup(pid int, sig syscall.Signal) {
	_ = syscall.Kill(-pid, sig) // it may have ended already
}

// ExitCode returns the exit code of a program that Run waited for. If a signal killed it, that is 128 + the signal, as
// in shells. ok is false if the program did not run.
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
