//go:build unix

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"vapo/lib/failure"
)

// testSlurmFailure checks what a run says about a step that fails, and about those that need it.
func testSlurmFailure(t *testing.T, w *cluster) {
	bad := []string{"run", "bad.yaml", "--set", "two.fail=numeric"}
	w.write("bad.yaml", slow+"  free: {stage: toy}\n")
	res := w.fails(failure.Numeric, []string{"| warn: it does not look good", "loss is NaN at step 3",
		"hint: lower the rate", "needs two", "exit code 6 (numeric)"}, append(bad, "--executor", "slurm")...)
	local := newWorkplace(t)
	local.write("bad.yaml", slow+"  free: {stage: toy}\n")
	explained := regexp.MustCompile(`(?m)^(?:    \| |pipeline: error: |hint: |failed |skipped ).*$`)
	want := explained.FindAllString(local.run(append(bad, "--keep-going")...).stderr, -1)
	if got := explained.FindAllString(res.stderr, -1); len(want) < 5 || !slices.Equal(got, want) {
		t.Errorf("the failure is explained by\n%q\nand without a cluster by\n%q", got, want)
	}
	w.wantStates("failure", map[string]string{"one": "done", "two": "failed", "three": "skipped", "free": "done"})
	w.must("run", "bad.yaml", "--executor", "slurm", "--set", "two.delay=0")
	w.wantStates("repaired", map[string]string{"one": "cached", "two": "done", "three": "done", "free": "cached"})

	// The job ends before it starts its step.
	w.write("site", "#SBATCH --partition=main\nexit 3\n")
	w.write("other.yaml", "name: other\nsteps:\n  s: {stage: toy, params: {steps: 99}}\n")
	w.fails(failure.Bug, []string{"ended as failed and recorded no result", "s.out"}, "run", "other.yaml", "--executor",
		"slurm", "--slurm", "site")
	w.write("site", "#SBATCH --partition=nowhere\n")
	w.fails(failure.Usage, []string{"invalid partition", "the file given with --slurm"}, "run", "other.yaml",
		"--executor", "slurm", "--slurm", "site")
}

// testSlurmCredentials checks that only the user can read the credentials of jobs, and only while there are jobs.
func testSlurmCredentials(t *testing.T, w *cluster) {
	cmd, stderr := w.begin("--set", "one.delay=0.1")
	secrets, err := filepath.Glob(filepath.Join(w.dir, ".vapo/runs/*/store.env"))
	if err != nil || len(secrets) != 1 {
		t.Fatalf("files with credentials: %v, %v", secrets, err)
	}
	if info, err := os.Stat(secrets[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	script := w.slurm.Run("scontrol", "show", "jobs", "--details") + w.slurm.Run("scontrol", "write", "batch_script",
		strings.TrimSpace(strings.SplitN(w.slurm.Run("squeue", "--noheader", "--format=%i"), "\n", 2)[0]), "-")
	for _, v := range w.env {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") && len(value) > 12 &&
			strings.Contains(script, value) {
			t.Errorf("the job shows %s", name)
		}
	}
	w.finish(cmd, stderr, undisturbed(t))
	if _, err := os.Stat(secrets[0]); !os.IsNotExist(err) {
		t.Errorf("the credentials are still there: %v", err)
	}
}

// testSlurmTwoAtOnce checks that equal runs share their jobs: two runs in one directory, and one in another.
func testSlurmTwoAtOnce(t *testing.T, w *cluster) {
	first, stderr := w.begin("--set", "one.delay=0.1")
	elsewhere := *w
	place := *w.workplace
	place.dir = t.TempDir()
	elsewhere.workplace = &place
	elsewhere.write("slow.yaml", slow)
	second := w.must(onSlurmArgs("--set", "one.delay=0.1")...)
	elsewhere.must(onSlurmArgs("--set", "one.delay=0.1")...)
	w.finish(first, stderr, undisturbed(t))
	if n := w.calls("sbatch"); n != 3 {
		t.Errorf("%d jobs, want 3\n%s", n, second)
	}
}

// testSlurmDetach leaves jobs and comes back. The recipe changes in between, which must not matter to the jobs. It also
// leaves jobs for ever, after which no credentials remain.
func testSlurmDetach(t *testing.T, w *cluster) {
	w.must(onSlurmArgs("--detach", "--set", "one.delay=0.2")...)
	if out := w.must("ls", "runs"); !strings.Contains(out, "submitted") {
		t.Errorf("runs:\n%s", out)
	}
	out := w.must("plan", "slow.yaml", "--executor", "slurm", "--set", "one.delay=0.2")
	if !strings.Contains(out, "in the queue") {
		t.Errorf("plan:\n%s", out)
	}
	w.write("slow.yaml", "not a recipe")
	w.stageRuns()
	w.write("slow.yaml", slow)
	cmd, stderr := w.begin("--set", "one.delay=0.2")
	w.finish(cmd, stderr, undisturbed(t))
	if n := w.calls("sbatch"); n != 3+1 {
		t.Errorf("%d jobs, want 3 and one that deletes the credentials", n)
	}
	left := func() []string {
		found, _ := filepath.Glob(filepath.Join(w.dir, ".vapo/runs/*/store.env"))
		return found
	}
	if found := left(); len(found) > 0 {
		t.Errorf("the credentials are still there: %v", found)
	}
	w.must(onSlurmArgs("--detach", "--set", "one.salt=3")...)
	if len(left()) != 1 {
		t.Errorf("files with credentials: %v", left())
	}
	eventually(t, "the credentials are deleted", func() bool { return len(left()) == 0 })
	w.must(onSlurmArgs("--set", "one.salt=3")...)
	w.wantStates("after the jobs", map[string]string{"one": "cached", "two": "cached", "three": "cached"})
}

// testSlurmSweep checks instances, and conditions that jobs have to decide.
func testSlurmSweep(t *testing.T, w *cluster) {
	w.write("sweep.yaml", `name: sweep
steps:
  one: {stage: toy, foreach: {steps: [2, 4]}}
  few: {stage: toy, when: one.*.value < 3}
  all: {stage: toy, when: one.*.value < 9}
  end: {stage: toy, inputs: {data: few.out}}
`)
	w.must("run", "sweep.yaml", "--executor", "slurm")
	got := w.states()
	if got["few"] != "skipped" || got["end"] != "skipped" || got["all"] != "done" || len(got) != 5 {
		t.Errorf("states: %v", got)
	}
}

// testSlurmResources checks the resources that a job requests, and that the step's own timeout ends the step.
func testSlurmResources(t *testing.T, w *cluster) {
	w.write("r.yaml", "name: r\nsteps:\n  s: {stage: toy, timeout: 3s, resources: {cores: 2, memory: 100MiB}, "+
		"params: {steps: 100, delay: 0.2}}\n")
	cmd, stderr := w.start("run", "r.yaml", "--executor", "slurm")
	w.stageRuns()
	if got := w.slurm.Run("squeue", "--noheader", "--states=RUNNING", "--format=%C %m %l"); got != "2 100M 6:00\n" {
		t.Errorf("cores, memory and time limit: %s", got)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != int(failure.Timeout) {
		t.Errorf("%v\n%s", err, stderr.String())
	}
}

// testSlurmInputs checks that jobs use the local files as they were when the jobs were submitted.
func testSlurmInputs(t *testing.T, w *cluster) {
	w.write("in.json", "1")
	w.write("inputs.yaml", `name: inputs
steps:
  first: {stage: toy, params: {steps: 20, delay: 0.2}}
  second: {stage: toy, inputs: {data: ./in.json}, when: first.value > 0}
  third: {stage: toy, inputs: {data: second.out}}
`)
	args := []string{"run", "inputs.yaml", "--executor", "slurm"}
	w.must(append(args, "--detach")...)
	if err := os.Remove(filepath.Join(w.dir, "in.json")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the jobs have ended", func() bool {
		return !strings.Contains(w.slurm.Run("squeue", "--noheader", "--format=%j"), "vapo-")
	})
	w.write("in.json", "1")
	w.must(args...)
	w.wantStates("after the jobs", map[string]string{"first": "cached", "second": "cached", "third": "cached"})
}
