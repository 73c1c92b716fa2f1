package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"time"

	"vapo/pipeline/internal/child"
	"vapo/pipeline/internal/runner"
)

// hookTime limits how long a hook may take. A scheduled run must not wait forever for a mail server.
const hookTime = time.Minute

// hookGrace is how long a hook and its processes have to end after SIGTERM.
const hookGrace = time.Second

// callHook runs a shell command with the document of a finished run on standard input. The command's output appears on
// standard error. A hook that fails or takes longer than limit causes a warning only, because the results of the run do
// not depend on it. The processes that a hook leaves behind may continue, unless it took too long.
func (a *app) callHook(ctx context.Context, command string, run *runner.Run, limit time.Duration) {
	data, err := encode(a.runStatus(a.store, run), "")
	if err == nil {
		// A hook should report a run that was stopped by a signal, too.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		defer cancel()
		cmd := exec.Command("sh", "-c", command)
		// Without a pipe for the output, a process that stays in the background can still print.
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(append(data, '\n')), a.raw.stderr, a.raw.stderr
		err = child.RunForeign(ctx, cmd, hookGrace)
		switch {
		case ctx.Err() != nil:
			err = fmt.Errorf("stopped after %v", limit)
		case errors.Is(err, exec.ErrWaitDelay): // such a process kept the input open, which the hook did not read
			err = nil
		}
	}
	if err != nil {
		fmt.Fprintf(a.stderr, "warning: the hook failed: %v\n", err)
	}
}

// computed reports whether a run computed a step, instead of finding all results in the cache.
func computed(run *runner.Run) bool {
	return slices.ContainsFunc(run.Steps, func(s *runner.Step) bool { return s.State == runner.Done })
}
