package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"vapo/lib/failure"
	"vapo/lib/objectstore/objectstoretest"
)

// TestRetriesOutliveAFault lets the store refuse the outputs of a stage until the step has been tried twice.
func TestRetriesOutliveAFault(t *testing.T) {
	t.Parallel()
	env := objectstoretest.EmbeddedEnv(t)
	var back atomic.Bool
	cfg := objectstoretest.Faults{Before: func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/blobs/") || back.Load() {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, "<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>")
		return true
	}}.Proxy(t, env)
	env.Endpoint = cfg.Endpoint
	w := newWorkplace(t)
	w.env = append(w.env, env.Environ()...)
	w.write("r.yaml", "name: r\nsteps:\n  s: {stage: toy, retries: {limit: 3, backoff: 10ms}}\n")
	cmd := w.command("run", "r.yaml")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for lines := bufio.NewScanner(io.TeeReader(stderr, &all)); lines.Scan(); {
		if strings.Contains(lines.Text(), "retry 2 of 3 in ") {
			back.Store(true)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, all.String())
	}
	for _, want := range []string{"retry 1 of 3 in ", ", after exit code 4 (store): ", "done", "after 2 retries"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("the run does not print %q:\n%s", want, all.String())
		}
	}
	if got := w.states()["s"]; got != "done" {
		t.Errorf("the step is %s, want done", got)
	}
	var status struct{ Steps []struct{ Retries int } }
	if err := json.Unmarshal([]byte(w.must("status", "--json")), &status); err != nil || status.Steps[0].Retries != 2 {
		t.Errorf("status: %v, %+v; want 2 retries", err, status)
	}
}

// TestWhatIsTriedAgain checks that steps are tried again only after temporary failures.
func TestWhatIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("r.yaml", "name: r\nsteps:\n  s: {stage: toy, retries: {limit: 2, backoff: 1ms}}\n")
	for how, test := range map[string]struct {
		code    failure.Class
		retries int
	}{
		"input": {failure.Input, 0}, "integrity": {failure.Integrity, 0}, "numeric": {failure.Numeric, 0},
		"bug": {failure.Bug, 0}, "kill": {128 + 9, 0}, "memory": {failure.Resources, 2},
	} {
		res := w.fails(test.code, nil, "run", "r.yaml", "--set", "s.fail="+how)
		if got := strings.Count(res.stderr, "  retry "); got != test.retries {
			t.Errorf("%s: %d retries, want %d:\n%s", how, got, test.retries, res.stderr)
		}
	}
}

// TestRetryAfterSIGTERM stops a stage, but not its runner. The step is tried again and resumes.
func TestRetryAfterSIGTERM(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("r.yaml", "name: r\nsteps:\n"+
		"  s: {stage: toy, retries: {limit: 5, backoff: 1ms}, params: {steps: 40, delay: 0.05}}\n")
	want := newWorkplace(t)
	want.write("r.yaml", "name: r\nsteps:\n  s: {stage: toy, params: {steps: 40}}\n")
	want.must("run", "r.yaml")

	done := make(chan result, 1)
	go func() { done <- w.run("run", "r.yaml") }()
	eventually(t, "the stage has saved its state", func() bool {
		saved, _ := filepath.Glob(filepath.Join(w.dir, ".vapo/store/vapo/live/*/state/state"))
		return len(saved) > 0
	})
	for _, pid := range w.processes("toy") {
		kill(t, pid, syscall.SIGTERM)
	}
	res := <-done
	if res.code != 0 || !strings.Contains(res.stderr, "retry 1 of 5 in ") ||
		!strings.Contains(res.stderr, "after exit code 143 (terminated)") {
		t.Errorf("exit code %d, want 0, and retry 1 of 5 after exit code 143\n%s", res.code, res.stderr)
	}
	if got, want := w.digests()["s.out"], want.digests()["s.out"]; got != want {
		t.Errorf("the digest is %s, want %s as without a signal", got, want)
	}
}

// TestTimeout checks that a step beyond its timeout is stopped, saves its state, and is not tried again.
func TestTimeout(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	const recipe = "name: r\nsteps:\n" +
		"  s: {stage: toy, TIMEOUT retries: {limit: 2, backoff: 1ms}, params: {steps: 2000, delay: 0.05}}\n"
	w.write("r.yaml", strings.Replace(recipe, "TIMEOUT", "timeout: 2s,", 1))
	res := w.fails(failure.Timeout, []string{
		"exit code 124 (timeout)", "pipeline: error: step s: stopped after its timeout of 2.0 s\nhint: raise the timeout",
	}, "run", "r.yaml")
	if strings.Contains(res.stderr, "  retry ") {
		t.Errorf("a timeout was tried again:\n%s", res.stderr)
	}
	if got := w.states()["s"]; got != "failed" {
		t.Errorf("the step is %s, want failed", got)
	}
	// The timeout is not part of the key, so the step resumes.
	w.write("r.yaml", strings.Replace(recipe, "TIMEOUT", "", 1))
	w.must("run", "r.yaml", "--set", "s.delay=0")
	if out := w.must("lineage", "s.out"); !strings.Contains(out, "action ") {
		t.Errorf("the lineage has no action:\n%s", out)
	}
	logs, err := filepath.Glob(filepath.Join(w.dir, ".vapo/runs/*/s.log"))
	if err != nil || len(logs) != 2 || !strings.Contains(read(t, logs[1]), "resuming") {
		t.Errorf("logs of step s: %v, %v; want two, and the second run to resume", logs, err)
	}
}
