package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"time"

	"vapo/pipeline/internal/runner"
)

// hookTime limits how long a hook may take. A scheduled run must not wait forever for a mail server.
const hookTime = time.Minute

// callHook runs a shell command with the document of a finished run on standard input. The command's output appears on
// standard error. A hook that fails causes a warning only, because the results of the run do not depend on it.
func (a *app) callHook(ctx context.Context, command string, run *runner.Run) {
	data, err := encode(a.runStatus(a.store, run), "")
	if err == nil {
		// A hook should report a run that was stopped by a signal, too.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hookTime)
		defer cancel()
		cmd := exec.CommandContext(ctx, "sh", "-c", command)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(append(data, '\n')), a.stderr, a.stderr
		cmd.WaitDelay = time.Second // for processes that the hook leaves behind
		if err = cmd.Run(); ctx.Err() != nil {
			err = fmt.Errorf("stopped after %v", hookTime)
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
