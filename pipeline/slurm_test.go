//go:build unix

package main

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"vapo/lib/failure"
	"vapo/lib/objectstore/objectstoretest"
)

var withSlurm = flag.Bool("slurm", false, "run recipes on a real Slurm cluster, which the test starts (make slurm)")

// TestSlurm runs recipes on a real cluster with two nodes.
func TestSlurm(t *testing.T) {
	if !*withSlurm {
		return // needs root and Slurm
	}
	c := startSlurm(t)
	for name, test := range map[string]func(*testing.T, *cluster){
		"SameAsLocal": testSlurmSame, "TwoAtOnce": testSlurmTwoAtOnce, "Failure": testSlurmFailure,
		"Detach": testSlurmDetach, "Signals": testSlurmSignals, "Controller": testSlurmController,
		"Sweep": testSlurmSweep, "DeadNode": testSlurmDeadNode, "TimeLimit": testSlurmTimeLimit,
		"Resources": testSlurmResources, "Shards": testSlurmShards,
	} {
		t.Run(name, func(t *testing.T) { test(t, newCluster(t, c)) })
	}
}

// TestExecutorMistakes checks what is refused without asking Slurm, and that a job that fails before its run begins
// records the failure in its file.
func TestExecutorMistakes(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("slow.yaml", slow)
	for _, c := range []struct {
		want string
		args []string
	}{
		{"the nodes of a cluster cannot use the embedded store\nhint: set VAPO_STORE", nil},
		{"--jobs does not work with --executor slurm", []string{"--jobs", "2"}},
		{"--fresh does not work with --executor slurm", []string{"--fresh"}},
		{"--detach needs --executor slurm", []string{"--executor", "local", "--detach"}},
		{"--slurm needs --executor slurm", []string{"--executor", "local", "--slurm", "site"}},
	} {
		w.fails(failure.Usage, []string{c.want}, onSlurmArgs(c.args...)...)
	}
	job := filepath.Join(w.dir, "job")
	if err := os.Mkdir(job, 0o755); err != nil {
		t.Fatal(err)
	}
	w.write("job/recipe.yaml", slow)
	const want = "is not the program for which the job was submitted"
	w.fails(failure.Usage, []string{want}, "exec", "slow.yaml", "one", "--job", job, "--described", "00")
	if record := read(t, filepath.Join(job, "one.json")); !strings.Contains(record, want) {
		t.Errorf("record:\n%s", record)
	}
}

// cluster is a workplace on a machine of the cluster, with a store of its own. It counts the calls of Slurm's commands.
type cluster struct {
	*workplace
	slurm *slurmCluster
}

func newCluster(t *testing.T, c *slurmCluster) *cluster {
	w := &cluster{newWorkplace(t), c}
	w.env = append(append(w.env, c.Env()...), objectstoretest.EmbeddedEnv(t).Environ()...)
	bin := filepath.Join(w.dir, "counting")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sbatch", "squeue", "scancel"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		script := fmt.Sprintf("#!/bin/sh\necho %s >>'%s/calls'\nexec %s \"$@\"\n", name, w.dir, path)
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.env = append(w.env, "PATH="+bin+":"+os.Getenv("PATH"))
	w.write("slow.yaml", slow)
	return w
}

// calls returns how often the commands of the workplace have called a command of Slurm.
func (w *cluster) calls(name string) int {
	data, err := os.ReadFile(filepath.Join(w.dir, "calls"))
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	return strings.Count(string(data), name+"\n")
}

// onSlurmArgs returns the arguments of a run on the cluster.
func onSlurmArgs(more ...string) []string {
	return append([]string{"run", "slow.yaml", "--executor", "slurm"}, more...)
}

// begin starts a run on the cluster and waits until its first step runs.
func (w *cluster) begin(more ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	w.t.Helper()
	cmd, stderr = w.command(onSlurmArgs(more...)...), new(bytes.Buffer)
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.stageRuns()
	return cmd, stderr
}

// stageRuns waits until a stage runs, and does not only describe itself.
func (w *cluster) stageRuns() {
	w.t.Helper()
	eventually(w.t, "a stage runs", func() bool {
		return slices.ContainsFunc(w.processes("toy"), func(pid int) bool {
			args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			return err == nil && bytes.Contains(args, []byte("\x00--manifest\x00"))
		})
	})
}

// finish waits for a run that must succeed with the digests of an undisturbed run.
func (w *cluster) finish(cmd *exec.Cmd, stderr *bytes.Buffer) {
	w.t.Helper()
	if err := cmd.Wait(); err != nil {
		w.t.Fatalf("%v\n%s", err, stderr.String())
	}
	w.t.Logf("calls: sbatch %d, squeue %d\n%s", w.calls("sbatch"), w.calls("squeue"), stderr.String())
	if got, want := w.digests(), undisturbed(w.t); !maps.Equal(got, want) {
		w.t.Errorf("digests differ:\n%v\n%v", got, want)
	}
}

// job returns the part of a step's status that says which job ran the step, and on which node.
func (w *cluster) job(step string) string {
	w.t.Helper()
	found := regexp.MustCompile(`(?m)^` + step + ` .*(job \d+ on n[12].*)$`).FindStringSubmatch(w.must("status"))
	if found == nil {
		w.t.Fatalf("status does not say where %s ran:\n%s", step, w.must("status"))
	}
	return found[1]
}

// testSlurmSame checks that a cluster makes the same results as one machine, and keeps no credentials afterwards.
func testSlurmSame(t *testing.T, w *cluster) {
	if out := w.must("plan", "slow.yaml", "--executor", "slurm"); !strings.Contains(out, "after vapo-two-") {
		t.Errorf("plan:\n%s", out)
	}
	cmd, stderr := w.begin("--set", "one.delay=0.05")
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
	w.finish(cmd, stderr)
	if _, err := os.Stat(secrets[0]); !os.IsNotExist(err) {
		t.Errorf("the credentials are still there: %v", err)
	}
	w.wantStates("first", map[string]string{"one": "done", "two": "done", "three": "done"})
	w.job("three")
	submitted := w.calls("sbatch")
	w.must(onSlurmArgs("--set", "one.delay=0.05")...)
	if again := w.calls("sbatch"); submitted != 3 || again != 3 {
		t.Errorf("%d jobs, then %d: want 3 and none", submitted, again-submitted)
	}
	w.wantStates("second", map[string]string{"one": "cached", "two": "cached", "three": "cached"})
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
	w.finish(first, stderr)
	if n := w.calls("sbatch"); n != 3 {
		t.Errorf("%d jobs, want 3\n%s", n, second)
	}
}

// testSlurmFailure checks what a run says about a step that fails, and about those that need it.
func testSlurmFailure(t *testing.T, w *cluster) {
	w.write("bad.yaml", slow+"  free: {stage: toy}\n")
	w.fails(failure.Numeric, []string{"| warn: it does not look good", "loss is NaN at step 3", "hint: lower the rate",
		"needs two", "exit code 6 (numeric)"}, "run", "bad.yaml", "--executor", "slurm", "--set", "two.fail=numeric")
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

// testSlurmDetach leaves jobs and comes back. The recipe changes in between, which must not matter to the jobs.
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
	w.finish(cmd, stderr)
	if n := w.calls("sbatch"); n != 3 {
		t.Errorf("%d jobs, want 3", n)
	}
	if left, _ := filepath.Glob(filepath.Join(w.dir, ".vapo/runs/*/store.env")); len(left) > 0 {
		t.Errorf("the credentials are still there: %v", left)
	}
}

// testSlurmSignals checks that SIGTERM leaves the jobs, and that Ctrl-C cancels them.
func testSlurmSignals(t *testing.T, w *cluster) {
	active := func() int { return strings.Count(w.slurm.Run("squeue", "--noheader", "--format=%j"), "vapo-") }
	cmd, stderr := w.begin("--set", "one.delay=0.5")
	kill(t, cmd.Process.Pid, syscall.SIGTERM)
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 143 || !strings.Contains(stderr.String(), "the jobs continue") {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if n := active(); n != 3 {
		t.Errorf("%d jobs after SIGTERM, want 3", n)
	}
	cmd, stderr = w.begin("--set", "one.delay=0.5") // found these jobs, so Ctrl-C leaves them
	eventually(t, "the run waits for the jobs", func() bool { return w.states()["one"] == "running" })
	kill(t, cmd.Process.Pid, syscall.SIGINT)
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 143 {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if n := active(); n != 3 {
		t.Errorf("%d jobs of another run after Ctrl-C, want 3", n)
	}
	w.slurm.Run("scancel", "--me")
	eventually(t, "the jobs are gone", func() bool { return active() == 0 })
	cmd, stderr = w.begin("--set", "one.delay=0.5")
	kill(t, cmd.Process.Pid, syscall.SIGINT)
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 143 {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	eventually(t, "the jobs are gone", func() bool { return active() == 0 })
	cmd, stderr = w.begin("--set", "one.delay=0.01")
	w.finish(cmd, stderr)
	if log := read(t, w.log("one")); !strings.Contains(log, "resuming") {
		t.Errorf("the step started over:\n%s", log)
	}
}

// log returns the path of the log of a step in the latest run.
func (w *cluster) log(step string) string {
	w.t.Helper()
	logs, err := filepath.Glob(filepath.Join(w.dir, ".vapo/runs/*", step+".log"))
	if err != nil || len(logs) == 0 {
		w.t.Fatalf("logs of %s: %v, %v", step, logs, err)
	}
	return logs[len(logs)-1]
}

// testSlurmController restarts the controller while a run waits, and while it submits.
func testSlurmController(t *testing.T, w *cluster) {
	cmd, stderr := w.begin("--set", "one.delay=0.3")
	w.slurm.StopController()
	eventually(t, "the run notices", func() bool { return w.calls("squeue") > 2 })
	w.slurm.StartController()
	w.finish(cmd, stderr)

	w.slurm.StopController()
	cmd, stderr = w.command(onSlurmArgs("--set", "one.salt=2")...), new(bytes.Buffer)
	cmd.Stderr = stderr
	before := w.calls("squeue")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the run notices", func() bool { return w.calls("squeue") > before+1 })
	w.slurm.StartController()
	if err := cmd.Wait(); err != nil || strings.Count(stderr.String(), "waiting for Slurm's controller") != 1 {
		t.Errorf("%v\n%s", err, stderr.String())
	}
}

// testSlurmDeadNode kills a node and everything on it while a step runs. The job starts again on the other node, waits
// for the lease of the dead runner to expire, and resumes.
func testSlurmDeadNode(t *testing.T, w *cluster) {
	cmd, stderr := w.begin("--set", "one.delay=0.5")
	time.Sleep(2 * time.Second) // the stage saves its state twice a second
	node := strings.TrimSpace(w.slurm.Run("squeue", "--noheader", "--states=RUNNING", "--format=%N"))
	w.slurm.KillNode(node)
	w.finish(cmd, stderr)
	w.slurm.StartNode(node)
	where := w.job("one")
	if strings.Contains(where, "on "+node) || !strings.Contains(read(t, w.log("one")), "resuming") {
		t.Errorf("the node %s died; %s\n%s", node, where, read(t, w.log("one")))
	}
	eventually(t, "the node is back", func() bool {
		return strings.Contains(w.slurm.Run("sinfo", "--noheader", "--format=%T %D"), "idle 2")
	})
}

// testSlurmTimeLimit gives jobs less time than the first step needs. The step saves its state before the limit, and its
// job starts again.
func testSlurmTimeLimit(t *testing.T, w *cluster) {
	w.write("site", "#!/bin/sh\n#SBATCH --time=2\n")
	cmd, stderr := w.begin("--slurm", "site", "--set", "one.delay=2")
	w.finish(cmd, stderr)
	if where := w.job("one"); !strings.Contains(where, "restarts: ") {
		t.Errorf("the job was not restarted: %s", where)
	}
	if log := read(t, w.log("one")); !strings.Contains(log, "resuming") {
		t.Errorf("the step started over:\n%s", log)
	}
}

// testSlurmResources checks the resources that a job requests, and that the step's own timeout ends the step.
func testSlurmResources(t *testing.T, w *cluster) {
	w.write("r.yaml", "name: r\nsteps:\n  s: {stage: toy, timeout: 3s, resources: {cores: 2, memory: 100MiB}, "+
		"params: {steps: 100, delay: 0.2}}\n")
	cmd := w.command("run", "r.yaml", "--executor", "slurm")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.stageRuns()
	if got := w.slurm.Run("squeue", "--noheader", "--states=RUNNING", "--format=%C %m %l"); got != "2 100M 6:00\n" {
		t.Errorf("cores, memory and time limit: %s", got)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != int(failure.Timeout) {
		t.Errorf("%v\n%s", err, stderr.String())
	}
}
