package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"vapo/lib/failure"
	"vapo/pipeline/internal/runner"
)

// A hook gets the document of the run, whether the run succeeds or fails. A hook that fails causes only a warning.
func TestHook(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("one.yaml", "name: one\nsteps:\n  s: {stage: toy}\n")
	document := func() (d runStatus) {
		if err := json.Unmarshal([]byte(read(t, filepath.Join(w.dir, "doc.json"))), &d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	out := w.must("run", "one.yaml", "--hook", "cat >doc.json; echo mailed")
	if d := document(); d.Schema != 1 || d.State != "done" || len(d.Steps) != 1 || d.Steps[0].State != "done" {
		t.Errorf("the hook got %+v, want schema 1, a run that is done, and one step that is done", d)
	}
	if strings.Contains(out, "mailed") {
		t.Errorf("the hook's output is among the results:\n%s", out)
	}
	w.fails(failure.Numeric, []string{"mailed"}, "run", "one.yaml", "--set", "s.fail=numeric", "--set", "s.salt=2",
		"--hook", "cat >doc.json; echo mailed")
	if d := document(); d.State != "failed" || d.Steps[0].Exit != failure.Numeric || d.Steps[0].Error == "" {
		t.Errorf("the hook got %+v, want a failed run whose step has exit code 6 and an error", d)
	}
	if res := w.run("run", "one.yaml", "--hook", "exit 3"); res.code != 0 ||
		!strings.Contains(res.stderr, "warning: the hook failed: exit status 3") {
		t.Errorf("exit code %d, want 0 and a warning that the hook failed\n%s", res.code, res.stderr)
	}
}

// A hook may leave a process behind. One that takes too long is stopped with its processes.
func TestHookProcesses(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("one.yaml", "name: one\nsteps:\n  s: {stage: toy}\n")
	// The process in the background holds standard error of the program, so that w.run waits for it.
	res := w.run("run", "one.yaml", "--hook", "(sleep 2; echo later) & echo mailed")
	if res.code != 0 || strings.Contains(res.stderr, "warning") || !strings.HasSuffix(res.stderr, "mailed\nlater\n") {
		t.Errorf("exit code %d, want 0, no warning, and what the process left behind prints\n%s", res.code, res.stderr)
	}

	var stderr strings.Builder
	a := &app{stderr: &stderr}
	a.raw.stderr = &stderr
	a.callHook(t.Context(), "sleep 100 & echo $! >"+filepath.Join(w.dir, "left")+"; wait", &runner.Run{State: runner.Done},
		time.Second)
	if got, want := stderr.String(), "warning: the hook failed: stopped after 1s\n"; got != want {
		t.Errorf("a hook that takes too long prints %q, want %q", got, want)
	}
	left := "/proc/" + strings.TrimSpace(read(t, filepath.Join(w.dir, "left"))) + "/cmdline"
	eventually(t, "the process of the hook has ended", func() bool {
		line, _ := os.ReadFile(left) // empty after its end, until its parent knows
		return len(line) == 0
	})
}

func TestDetailedExitcode(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("two.yaml", "name: two\nsteps:\n  a: {stage: toy}\n  b: {stage: toy, params: {salt: 3}}\n")
	for _, c := range []struct {
		what string
		code failure.Class
		args []string
	}{
		{"a first run", failure.Changed, nil},
		{"a cached run", failure.OK, nil},
		{"a run with one new step", failure.Changed, []string{"--set", "b.salt=4"}},
		{"a failed run", failure.Input, []string{"--set", "a.salt=9", "--set", "b.fail=input", "--set", "b.salt=5"}},
	} {
		if res := w.run(append([]string{"run", "two.yaml", "--detailed-exitcode"}, c.args...)...); res.code != c.code {
			t.Errorf("%s ends with %d, expected %d\n%s", c.what, res.code, c.code, res.stderr)
		}
	}
}

// systemd accepts the unit files in README.md.
func TestUnitFiles(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is missing (Debian: systemd)")
	}
	dir := t.TempDir()
	units := regexp.MustCompile("(?s)```ini\n# /etc/systemd/system/(\\S+)\n(.*?)```").FindAllStringSubmatch(
		read(t, "README.md"), -1)
	if len(units) != 2 {
		t.Fatalf("README.md has %d unit files, expected a service and a timer", len(units))
	}
	args := []string{"verify", "--man=no"}
	for _, u := range units {
		path := filepath.Join(dir, u[1])
		text := strings.ReplaceAll(u[2], "/srv/vapo/bin", binaries) // systemd checks that the program exists
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	if out, err := exec.Command(analyze, args...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}
