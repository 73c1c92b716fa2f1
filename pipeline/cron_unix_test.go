//go:build unix

package main

import (
	"path/filepath"
	"syscall"
	"testing"

	"vapo/lib/failure"
)

// A run needs neither HOME nor a terminal, and can start in any directory, as under cron.
func TestRunUnderCron(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("one.yaml", "name: one\nsteps:\n  s: {stage: toy}\n")
	for i, want := range []failure.Class{failure.Changed, failure.OK} {
		cmd := w.command("--dir", w.dir, "run", filepath.Join(w.dir, "one.yaml"), "--no-wait", "--detailed-exitcode")
		cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/bin:/bin", "SHELL=/bin/sh", "LOGNAME=nobody"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no controlling terminal
		out, err := cmd.CombinedOutput()
		if got := failure.Class(cmd.ProcessState.ExitCode()); got != want {
			t.Errorf("run %d ends with %d, expected %d (%v)\n%s", i+1, got, want, err, out)
		}
	}
}
