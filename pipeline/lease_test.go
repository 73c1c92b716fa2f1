//go:build unix

package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"vapo/lib/failure"
)

// executions returns how often each step of the workplaces was started.
func executions(t *testing.T, places ...*workplace) map[string]int {
	t.Helper()
	n := map[string]int{}
	for _, w := range places {
		logs, err := filepath.Glob(filepath.Join(w.dir, ".vapo", "runs", "*", "*.log"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range logs {
			n[strings.TrimSuffix(filepath.Base(path), ".log")]++
		}
	}
	return n
}

// TestEqualRunsShareWork starts equal runs at once, in one directory and in several that share a store. Each step must
// be computed once, and all runs must get its result.
func TestEqualRunsShareWork(t *testing.T) {
	t.Parallel()
	want := undisturbed(t)
	once := map[string]int{"one": 1, "two": 1, "three": 1}
	for name, directories := range map[string]int{"one directory": 1, "shared store": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const runs = 6
			places := []*workplace{newWorkplace(t)}
			if directories > 1 {
				env := places[0].serve()
				for len(places) < directories {
					w := newWorkplace(t)
					w.env = append(w.env, env...)
					places = append(places, w)
				}
				places[0].env = append(places[0].env, env...)
			}
			results := make(chan result, runs)
			for i := range runs {
				w := places[i%directories]
				if i < directories { // writing the file again would truncate it while another run reads it
					w.write("slow.yaml", slow)
				}
				go func() { results <- w.run("run", "slow.yaml") }()
			}
			for range runs {
				if res := <-results; res.code != 0 {
					t.Errorf("exit code %d\n%s", res.code, res.stderr)
				}
			}
			if got := places[0].digests(); !maps.Equal(got, want) {
				t.Errorf("the digests are\n%v\nwant\n%v", got, want)
			}
			if got := executions(t, places...); !maps.Equal(got, once) {
				t.Errorf("the steps were started %v times, not once each", got)
			}
			live, _ := filepath.Glob(filepath.Join(places[0].dir, ".vapo/store/vapo/live/*/*"))
			if len(live) != 0 {
				t.Errorf("live state of finished steps is left: %v", live)
			}
		})
	}
}

// TestNoWait checks that a run reports who is working on its step, and that with --no-wait it fails instead of waiting.
func TestNoWait(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("slow.yaml", strings.Replace(slow, "delay: 0.01", "delay: 60", 1))
	first := w.command("run", "slow.yaml")
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		kill(t, first.Process.Pid, syscall.SIGKILL)
		_ = first.Wait()
	}()
	eventually(t, "the first run works", func() bool { return executions(t, w)["one"] == 1 })
	w.fails(failure.Busy, []string{"step one: another run works on it: ", " since 2", "(process ", ", run 2", "hint: "},
		"run", "slow.yaml", "--no-wait")
	w.fails(failure.Busy, []string{"step one: another run works on it: "}, "exec", "slow.yaml", "one", "--no-wait")

	second := w.command("run", "slow.yaml")
	var stderr bytes.Buffer
	second.Stderr = &stderr
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the status says whom the second run waits for", func() bool {
		out := w.must("status")
		return strings.Contains(out, "waiting") && strings.Contains(out, " for ") && strings.Contains(out, "(process ")
	})
	kill(t, second.Process.Pid, syscall.SIGTERM)
	_ = second.Wait()
	if code := second.ProcessState.ExitCode(); code != 143 || !strings.Contains(stderr.String(), "waiting for ") {
		t.Errorf("the waiting run ends with %d, want 143 and a message that it waits:\n%s", code, stderr.String())
	}
}

// TestNoWaitForItself runs two equal steps at once. They are the same action, which is no reason to fail.
func TestNoWaitForItself(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	const step = "{stage: toy, params: {delay: 0.2}}\n"
	w.write("twins.yaml", "name: r\nsteps:\n  a: "+step+"  b: "+step)
	res := w.run("run", "twins.yaml", "--jobs", "2", "--no-wait")
	if n := executions(t, w); res.code != 0 || n["a"]+n["b"] != 1 {
		t.Errorf("exit code %d after the executions %v, want 0 after one\n%s", res.code, n, res.stderr)
	}
}

// TestStageWithWrongCode checks that a stage is not started again if it says that another run has taken over the work,
// although none has, and that a stage that fails with the code for a success makes the run fail.
func TestStageWithWrongCode(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("one.yaml", "name: one\nsteps:\n  s: {stage: toy}\n")
	for code, want := range map[int]failure.Class{8: failure.Busy, 10: failure.Bug} {
		script := fmt.Sprintf("#!/bin/sh\ntest \"$1\" = run && { echo ran >>%s/ran; exit %d; }\nexec %s/toy \"$@\"\n", w.dir,
			code, binaries)
		if err := os.WriteFile(filepath.Join(w.dir, "toy"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		w.write("ran", "")
		w.fails(want, nil, "run", "one.yaml", "--bin", ".", "--detailed-exitcode")
		if got := read(t, filepath.Join(w.dir, "ran")); got != "ran\n" {
			t.Errorf("the stage that ends with %d was started %d times, want once", code, strings.Count(got, "\n"))
		}
	}
}

// TestFrozenRunner freezes a runner and its stage, as a laptop that sleeps does. Another run must take over. When the
// first one wakes up, it must stop its stage, save nothing more and use the result of the other run.
func TestFrozenRunner(t *testing.T) {
	t.Parallel()
	want := undisturbed(t)
	store := newWorkplace(t)
	env := store.serve()
	start := func() (*workplace, func() result) {
		w := newWorkplace(t)
		w.env = append(w.env, env...)
		w.write("slow.yaml", strings.Replace(slow, "delay: 0.01", "delay: 0.05", 1))
		cmd := w.command("run", "slow.yaml")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the runner runs", func() bool { return len(w.processes("pipeline")) > 0 })
		return w, func() result {
			_ = cmd.Wait()
			return result{failure.Class(cmd.ProcessState.ExitCode()), "", stderr.String()}
		}
	}
	first, wait := start()
	state := filepath.Join(store.dir, ".vapo/store/vapo/live/*/state/state")
	eventually(t, "the first run saves its state", func() bool {
		states, _ := filepath.Glob(state)
		return len(states) == 1
	})
	frozen := append(first.processes("pipeline"), first.processes("toy")...)
	for _, pid := range frozen {
		kill(t, pid, syscall.SIGSTOP)
	}
	second, waitSecond := start()
	if res := waitSecond(); res.code != 0 || !strings.Contains(res.stderr, "waiting for ") {
		t.Errorf("the second run ends with %d, want 0 and a message that it waits:\n%s", res.code, res.stderr)
	}
	if got := second.digests(); !maps.Equal(got, want) {
		t.Errorf("the digests are\n%v\nwant\n%v", got, want)
	}
	if states, _ := filepath.Glob(state); len(states) != 0 {
		t.Errorf("live state is left before the first run wakes up: %v", states)
	}
	for _, pid := range frozen {
		kill(t, pid, syscall.SIGCONT)
	}
	if res := wait(); res.code != 0 || !strings.Contains(res.stderr, "taken over") {
		t.Errorf("the first run ends with %d, want 0, after another run has taken over\n%s", res.code, res.stderr)
	}
	if got := first.digests(); !maps.Equal(got, want) {
		t.Errorf("the digests are\n%v\nwant\n%v", got, want)
	}
	if left, _ := filepath.Glob(filepath.Join(store.dir, ".vapo/store/vapo/live/*/*")); len(left) != 0 {
		t.Errorf("the first run wrote after it had lost its lease: %v", left)
	}
}
