//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// testSlurmShards kills one of sixteen shards. The run fails; the next run computes this shard alone, and gives the
// digests of a run without shards.
func testSlurmShards(t *testing.T, w *cluster) {
	recipe := strings.Replace(fmt.Sprintf(sharded, "steps: 3, delay: 3"), "shards: 3", "shards: 16", 1)
	w.write("slow.yaml", recipe)
	cmd, stderr := w.start(onSlurmArgs("--keep-going")...)
	pid := 0
	eventually(t, "a shard runs", func() bool {
		for _, p := range w.processes("toy") {
			if args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p)); err == nil &&
				strings.Contains(string(args), "\x00shard\x00") {
				pid = p
			}
		}
		return pid > 0
	})
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(stderr.String(), "killed by signal 9") {
		t.Fatalf("%v\n%s", err, stderr)
	}
	if got := w.calls("sbatch"); got != 4 { // data, the array, chain and end
		t.Errorf("%d calls of sbatch, want 4", got)
	}
	done, failed := 0, ""
	for step, state := range w.states() {
		switch {
		case !strings.Contains(step, "[shard="):
		case state == "done":
			done++
		default:
			failed = step
		}
	}
	if done != 15 {
		t.Errorf("%d shards are done, want 15\n%s", done, stderr)
	}
	w.must(onSlurmArgs()...)
	want := map[string]string{"data": "cached", failed: "done", "chain": "done", "end": "done"}
	w.wantStates("the second run", want)
	digests := w.digests()

	local := newWorkplace(t)
	local.write("r.yaml", strings.Replace(recipe, ", shards: 16", "", 1))
	local.must("run", "r.yaml")
	if got := local.digests(); !maps.Equal(digests, got) {
		t.Errorf("on Slurm %v, here without shards %v", digests, got)
	}
}

// testSlurmShip replaces the programs while jobs are in the queue.
func testSlurmShip(t *testing.T, w *cluster) {
	bin := filepath.Join(w.dir, "bin")
	if err := os.CopyFS(bin, os.DirFS(w.bin)); err != nil {
		t.Fatal(err)
	}
	toy := filepath.Join(bin, "toy")
	if err := os.Chmod(toy, 0o755); err != nil {
		t.Fatal(err)
	}
	for run := range 2 {
		salt := fmt.Sprintf("one.salt=%d", run+7)
		args := append([]string{"--bin", bin}, onSlurmArgs("--ship", "--detach", "--set", salt)...)
		w.must(args...)
		broken := toy + ".broken"
		if err := errors.Join(os.WriteFile(broken, []byte("#!/bin/false\n"), 0o755), os.Rename(toy, toy+".good"),
			os.Rename(broken, toy)); err != nil {
			t.Fatal(err)
		}
		w.must(onSlurmArgs("--set", salt)...)
		if err := os.Rename(toy+".good", toy); err != nil {
			t.Fatal(err)
		}
	}
	w.wantStates("after the jobs", map[string]string{"one": "done", "two": "done", "three": "done"})
	copies, err := os.ReadDir(filepath.Join(w.dir, ".vapo", "programs"))
	if err != nil || len(copies) != 2 {
		t.Errorf("copies %v of pipeline and toy, %v", copies, err)
	}
	// With the stages of one step and of its condition, but not those of the other steps.
	w.write("small.yaml", small+"  few: {stage: prep, params: {n-train: 9}, when: energy.steps > 1}\n")
	w.must(runSmall(t, "few", "--executor", "slurm", "--ship")...)
	if left, err := os.ReadDir(filepath.Join(filepath.Dir(w.latest("few.json")), "bin")); err != nil || len(left) != 3 {
		t.Errorf("the programs of the run are %v, %v; want pipeline, prep and train", left, err)
	}
}

// testSlurmShippedSweep runs the recipe sweep.yaml with a small network, here and on the cluster: with instances,
// shards, retries, resources and a command, the table has the same bytes.
func testSlurmShippedSweep(t *testing.T, w *cluster) {
	args := []string{"--bin", buildStages(t), "run"}
	small := []string{"--set", "data.source=shapes", "--set", "data.n-train=300", "--set", "data.n-test=100",
		"--set", "potential.channels=8", "--set", "potential.channel-mult=[1]", "--set", "potential.batch=8",
		"--set", "potential.steps=5", "--set", "classifier.steps=5", "--set", "samples.n=200", "--set", "samples.steps=2"}
	recipe := copySweep(t, w.dir)
	w.must(slices.Concat(args, []string{recipe, "--executor", "slurm"}, small)...)
	onSlurm := w.digests()
	if n := len(onSlurm); n < 6*(2+2+1)+3 {
		t.Errorf("%d outputs: %v", n, onSlurm)
	}
	local := newWorkplace(t)
	local.must(slices.Concat(args, []string{copySweep(t, local.dir), "--jobs", "2"}, small)...)
	if got := local.digests(); !maps.Equal(onSlurm, got) {
		t.Errorf("on Slurm %v, here %v", onSlurm, got)
	}
	t.Logf("the table:\n%s", w.must("get", "table.table"))
}

// copySweep copies the recipe and its program to a directory, and returns the path of the recipe. Its steps ask for no
// more than the nodes of the test have.
func copySweep(t *testing.T, dir string) string {
	t.Helper()
	for _, name := range []string{"sweep.yaml", "sweep.sh"} {
		data, err := os.ReadFile(filepath.Join("recipes", name))
		if err != nil {
			t.Fatal(err)
		}
		data = bytes.ReplaceAll(data, []byte("{cores: 2, memory: 4GiB}"), []byte("{cores: 1}"))
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "sweep.yaml")
}
