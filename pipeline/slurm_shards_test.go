//go:build unix

package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
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
}
