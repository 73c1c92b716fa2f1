//go:build unix

package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/failure"
)

// limited runs a command with a limit of ulimit, which its children inherit. The command must fail for lack of
// resources and print want.
func (w *workplace) limited(limit, want string, args ...string) {
	w.t.Helper()
	script := "ulimit " + limit + ` && exec "$@"`
	cmd := exec.Command("sh", append([]string{"-c", script, "sh", filepath.Join(w.bin, "pipeline")}, args...)...)
	cmd.Dir, cmd.Env = w.dir, w.env
	out, _ := cmd.CombinedOutput()
	if code := failure.Class(cmd.ProcessState.ExitCode()); code != failure.Resources ||
		!strings.Contains(string(out), want) {
		w.t.Errorf("ulimit %s: exit code %d, want %d and %q:\n%s", limit, code, failure.Resources, want, out)
	}
}

// TestLimitOfFileSizes: a file that may not grow further is a lack of resources, like a full disk.
func TestLimitOfFileSizes(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("big", strings.Repeat("x", 1<<20))
	w.limited("-f 1000", "hint: ", "put", "big")
	w.must("put", "big")
}

// TestLimitOfOpenFiles: the message names the limit, and nothing else that may be wrong with a stage program.
func TestLimitOfOpenFiles(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("one.yaml", "name: one\nsteps:\n  s: {stage: toy}\n")
	for _, n := range []string{"8", "12"} {
		w.limited("-n "+n, "hint: raise the limit of open files", "run", "one.yaml")
	}
}
