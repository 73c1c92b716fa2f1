//go:build unix

package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"vapo/lib/contract"
	"vapo/lib/objectstore/objectstoretest"
)

// TestSlurmSoak runs the cases that take too long for every day: dead nodes, preemption, time limits, a controller that
// is gone, and measurements.
func TestSlurmSoak(t *testing.T) {
	if !objectstoretest.Soaking() {
		return
	}
	onCluster(t, 5*time.Second, map[string]func(*testing.T, *cluster){
		"DeadNode": testSlurmDeadNode, "Preempted": testSlurmPreempted, "TimeLimit": testSlurmTimeLimit,
		"Signals": testSlurmSignals, "Controller": testSlurmController, "Overhead": testSlurmOverhead,
		"Calls": testSlurmCalls, "Shards": testSlurmShards, "ShippedSweep": testSlurmShippedSweep,
	})
}

// testSlurmSignals checks that SIGTERM leaves the jobs, and that Ctrl-C cancels them.
func testSlurmSignals(t *testing.T, w *cluster) {
	active := func() int { // without vapo-cleanup
		return len(regexp.MustCompile(`vapo-(one|two|three)-`).FindAllString(w.slurm.Run("squeue", "--format=%j"), -1))
	}
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
	cmd, stderr = w.begin("--set", "one.delay=0.05")
	w.finish(cmd, stderr, undisturbed(t))
	if log := read(t, w.latest("one.log")); !strings.Contains(log, "resuming") {
		t.Errorf("the step started over:\n%s", log)
	}
}

// testSlurmController restarts the controller while a run waits, and while it submits.
func testSlurmController(t *testing.T, w *cluster) {
	cmd, stderr := w.begin("--set", "one.delay=0.3")
	w.slurm.StopController()
	eventually(t, "the run notices", func() bool { return w.calls("squeue") > 2 })
	w.slurm.StartController()
	w.finish(cmd, stderr, undisturbed(t))

	w.slurm.StopController()
	before := w.calls("squeue")
	cmd, stderr = w.start(onSlurmArgs("--set", "one.salt=2")...)
	eventually(t, "the run notices", func() bool { return w.calls("squeue") > before+1 })
	w.slurm.StartController()
	if err := cmd.Wait(); err != nil || strings.Count(stderr.String(), "waiting for Slurm's controller") != 1 {
		t.Errorf("%v\n%s", err, stderr.String())
	}
}

// testSlurmDeadNode kills a node and everything on it in the middle of a training. The job starts again on the other
// node, waits for the lease of the dead runner to expire, and resumes.
func testSlurmDeadNode(t *testing.T, w *cluster) {
	long := []string{"matching", "--set", "matching.steps=20000"}
	want := smallLocally(t, long...)
	cmd, stderr := w.start(runSmall(t, append(long, "--executor", "slurm")...)...)
	eventually(t, "the training has saved its state", func() bool {
		logs, _ := filepath.Glob(filepath.Join(w.dir, ".vapo/runs/*/matching.log"))
		return len(logs) > 0 && strings.Count(read(t, logs[0]), contract.ProgressMessage) > 2
	})
	node := strings.TrimSpace(w.slurm.Run("squeue", "--noheader", "--states=RUNNING", "--format=%N"))
	w.slurm.KillNode(node)
	w.finish(cmd, stderr, want)
	w.slurm.StartNode(node)
	place := w.place("matching")
	if place.Host == node || place.Restarts == 0 || !strings.Contains(read(t, w.latest("matching.log")), "resuming") {
		t.Errorf("the node %s died, and the step ran in %+v\n%s", node, place, read(t, w.latest("matching.log")))
	}
	eventually(t, "the node is back", func() bool {
		return strings.Contains(w.slurm.Run("sinfo", "--noheader", "--format=%T %D"), "idle 2")
	})
}

// testSlurmPreempted lets an urgent job take both nodes. The job that runs saves its state, and resumes afterwards.
func testSlurmPreempted(t *testing.T, w *cluster) {
	cmd, stderr := w.begin("--set", "one.delay=0.5")
	w.slurm.Run("sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 2")
	w.finish(cmd, stderr, undisturbed(t))
	if !strings.Contains(stderr.String(), "stopped; its state is saved") {
		t.Errorf("the run does not say that its job was stopped:\n%s", stderr.String())
	}
	log := read(t, w.latest("one.log"))
	if place := w.place("one"); place.Restarts == 0 || !strings.Contains(log, "resuming") {
		t.Errorf("the step ran in %+v\n%s", place, log)
	}
}

// testSlurmTimeLimit gives jobs less time than the first step needs. The step saves its state before the limit, and its
// job starts again. The timeout of a step does not replace the limit.
func testSlurmTimeLimit(t *testing.T, w *cluster) {
	w.write("site", "#!/bin/sh\n#SBATCH --partition=main --time=\"2\" # minutes\nset -euo pipefail\n")
	w.write("slow.yaml", strings.Replace(slow, "one:   {", "one:   {timeout: 1h, ", 1))
	cmd, stderr := w.begin("--slurm", "site", "--set", "one.delay=2")
	w.finish(cmd, stderr, undisturbed(t))
	if place := w.place("one"); place.Restarts == 0 {
		t.Errorf("the job was not restarted: %+v", place)
	}
	if log := read(t, w.latest("one.log")); !strings.Contains(log, "resuming") {
		t.Errorf("the step started over:\n%s", log)
	}
}

// testSlurmOverhead measures how much longer a chain of commands takes than a chain of empty jobs.
func testSlurmOverhead(t *testing.T, w *cluster) {
	const steps = 20
	began := time.Now()
	last := ""
	for range steps {
		args := []string{"sbatch", "--parsable", "--output=/dev/null", "--wrap=true"}
		if last != "" {
			args = append(args, "--dependency=afterok:"+last)
		}
		last = strings.TrimSpace(w.slurm.Run(args...))
	}
	for w.slurm.Run("squeue", "--noheader", "--format=%i") != "" {
		time.Sleep(100 * time.Millisecond)
	}
	own := time.Since(began).Seconds()

	recipe := "name: chain\nsteps:\n  s0: {stage: command, run: [sh, -c, 'echo 0 >out'], outputs: {out: out}}\n"
	for i := 1; i < steps; i++ {
		recipe += fmt.Sprintf("  s%d: {stage: command, run: [sh, -c, 'echo %d | cat in - >out'], inputs: {in: s%d.out}, "+
			"outputs: {out: out}}\n", i, i, i-1)
	}
	w.write("chain.yaml", recipe)
	began = time.Now()
	if out, err := w.command("run", "chain.yaml", "--executor", "slurm").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	whole := time.Since(began).Seconds()
	t.Logf("a chain of %d empty jobs takes %.1f s and a chain of %d commands %.1f s: %.2f s more for each step",
		steps, own, steps, whole, (whole-own)/steps)
}

// testSlurmCalls checks the bound on the calls of the controller that README.md states: one for each job, and polls
// that become rarer.
func testSlurmCalls(t *testing.T, w *cluster) {
	const steps = 50
	var salts []string
	for i := range steps {
		salts = append(salts, fmt.Sprint(i))
	}
	w.write("many.yaml", "name: many\nsteps:\n  s: {stage: toy, foreach: {salt: ["+strings.Join(salts, ", ")+
		"]}, shards: 8}\n")
	began := time.Now()
	if out, err := w.command("run", "many.yaml", "--executor", "slurm").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	seconds := time.Since(began).Seconds()
	most := 2 // before submitting, and to delete the credentials
	for at, pause := 2.0, 2.0; at < seconds; at += pause {
		most++
		pause = min(1.5*pause, 10) // a minute, but 10 seconds while a job may have been lost
	}
	asked := w.calls("squeue")
	t.Logf("%d steps of 8 shards in %.0f s: %d calls of sbatch, %d of squeue", steps, seconds, w.calls("sbatch"), asked)
	if asked > most || w.calls("sbatch") != 2*steps || w.calls("scontrol")+w.calls("scancel") > 0 {
		t.Errorf("calls: sbatch %d, squeue %d (at most %d), scontrol %d, scancel %d", w.calls("sbatch"), asked, most,
			w.calls("scontrol"), w.calls("scancel"))
	}
}
