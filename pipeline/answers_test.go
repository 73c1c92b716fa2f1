package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// settle waits until a program that was just written is old enough for its answers to be cached.
func settle() { time.Sleep(1100 * time.Millisecond) }

// TestAnswersAreRemembered checks that a stage program is asked again only if its answer may have changed.
func TestAnswersAreRemembered(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("chain.yaml", chain)
	bin, log, memory := t.TempDir(), filepath.Join(t.TempDir(), "log"), filepath.Join(w.dir, ".vapo", "answers")
	toy := func(comment string) {
		t.Helper()
		script := fmt.Sprintf("#!/bin/sh\n# %s\necho \"$@\" >>%s\nexec %s \"$@\"\n", comment, log,
			filepath.Join(binaries, "toy"))
		if err := os.WriteFile(filepath.Join(bin, "toy"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		settle()
	}
	asked := func(what string, want int, args ...string) {
		t.Helper()
		if err := os.WriteFile(log, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		w.must(append([]string{"plan", "chain.yaml", "--bin", bin}, args...)...)
		data, err := os.ReadFile(log)
		if got := bytes.Count(data, []byte("\n")); err != nil || got != want {
			t.Errorf("%s: the program was asked %d times, want %d: %v\n%s", what, got, want, err, data)
		}
	}
	toy("first")
	asked("nothing is known", 4)
	asked("everything is known", 0)
	asked("other parameters", 1, "--set", "two.salt=0.25")
	asked("an answer that depends on more than the parameters", 1, "--set", "two.random=true")
	asked("the same again", 1, "--set", "two.random=true")
	asked("everything is still known", 0)

	toy("other") // the program keeps its size
	asked("the program has changed", 4)

	plugin := filepath.Join(t.TempDir(), "xla_cuda_plugin.so")
	if err := os.WriteFile(plugin, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	without := w.env
	w.env = append(without[:len(without):len(without)], "PJRT_PLUGIN_LIBRARY_PATH="+plugin)
	asked("there is a CUDA plugin", 4)
	w.env = without
	asked("the plugin is gone", 0)

	data, err := os.ReadFile(memory)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte(`"salt": 0.001`))
	if at < 0 {
		t.Fatalf("the answers cache lacks the answer about step two:\n%s", data)
	}
	data[at+len(`"salt": 0.00`)] = '2'
	if err := os.WriteFile(memory, data, 0o600); err != nil {
		t.Fatal(err)
	}
	asked("the answers cache is damaged", 4)
	asked("the answers cache is repaired", 0)
}

// TestSourcesAreReadAgain checks that an answer that depends on the content of a file is not cached, because the file
// may change and keep its size and time.
func TestSourcesAreReadAgain(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	build := exec.Command("go", "build", "-o", w.dir, "../stages/prep")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building prep: %v\n%s", err, out)
	}
	settle()
	w.write("table.yaml", "name: table\nsteps:\n  data: {stage: prep, params: {source: csv, path: table.csv}}\n")
	now := time.Now()
	plan := func(value int) string {
		t.Helper()
		w.write("table.csv", fmt.Sprintf("a,b\n1,2\n3,%d\n", value))
		if err := os.Chtimes(filepath.Join(w.dir, "table.csv"), now, now); err != nil {
			t.Fatal(err)
		}
		return w.must("plan", "table.yaml", "--verbose", "--bin", w.dir)
	}
	if plan(4) == plan(5) {
		t.Error("the plan with another table is the same")
	}
}
