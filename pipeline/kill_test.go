package main

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"vapo/lib/objectstore/objectstoretest"
)

const slow = `name: slow
steps:
  one:   {stage: toy, params: {steps: 20, delay: 0.01}}
  two:   {stage: toy, inputs: {data: one.out}, params: {steps: 30, delay: 0.01}}
  three: {stage: toy, inputs: {data: two.out}}
`

// undisturbed returns the output digests of the recipe slow when no process is killed.
func undisturbed(t *testing.T) map[string]string {
	t.Helper()
	w := newWorkplace(t)
	w.write("slow.yaml", slow)
	w.must("run", "slow.yaml", "--set", "one.delay=0", "--set", "two.delay=0")
	return w.digests()
}

// gateways returns the processes that serve the store of the workplace. Their arguments distinguish them from stages
// that are just starting: until a new process executes the stage program, it runs the runner's.
func (w *workplace) gateways() []int {
	return slices.DeleteFunc(w.processes("pipeline"), func(pid int) bool {
		args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return err != nil || !bytes.Contains(args, []byte("\x00serve\x00"))
	})
}

// TestKillNine repeatedly kills the runner, the stage or the gateway at random moments. Repeating the same command must
// always end with the same digests and leave nothing behind.
func TestKillNine(t *testing.T) {
	t.Parallel()
	want := undisturbed(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	survived := map[string]int{} // number of kills that the run survived, by victim
	for round := range objectstoretest.Soak(t, 4) {
		w := newWorkplace(t)
		w.write("slow.yaml", slow)
		for _, victim := range []string{"runner", "stage", "gateway", "runner", "stage"} {
			cmd := w.command("run", "slow.yaml")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			moment := time.Duration(random.IntN(700)) * time.Millisecond
			time.Sleep(moment)
			switch victim {
			case "runner":
				kill(t, cmd.Process.Pid, syscall.SIGKILL)
			case "stage":
				for _, pid := range w.processes("toy") {
					kill(t, pid, syscall.SIGKILL)
				}
			case "gateway":
				for _, pid := range w.gateways() {
					kill(t, pid, syscall.SIGKILL)
				}
			}
			if err := cmd.Wait(); err == nil {
				survived[victim]++
			} else if victim == "gateway" {
				t.Errorf("round %d: the run ends with %v after its gateway was killed:\n%s", round, err, stderr.String())
			}
			eventually(t, "no stage outlives the runner", func() bool { return len(w.processes("toy")) == 0 })
		}
		w.must("run", "slow.yaml")
		if got := w.digests(); !maps.Equal(got, want) {
			t.Fatalf("round %d: the digests are\n%v\nwant\n%v", round, got, want)
		}
		out := w.must("store", "check", "--deep")
		if !strings.Contains(out, " 0 damaged\n") || strings.Contains(out, "stray") {
			t.Errorf("round %d: the check finds damaged or stray objects:\n%s", round, out)
		}
		for _, pattern := range []string{".vapo/tmp/*", ".vapo/store/vapo/live/*/*", ".vapo/store/vapo/.sgwtmp/*/*"} {
			if left, _ := filepath.Glob(filepath.Join(w.dir, pattern)); len(left) > 0 {
				t.Errorf("round %d: left behind: %v", round, left)
			}
		}
		eventually(t, "the gateway ends after its last user", func() bool { return len(w.processes("pipeline")) == 0 })
	}
	t.Logf("runs that ended well even though a process was killed: %v", survived)
}

// slowRun starts the recipe slow with the given delay in its first step, and waits until that step has saved its state.
func (w *workplace) slowRun(delay string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	w.t.Helper()
	w.write("slow.yaml", strings.Replace(slow, "delay: 0.01", "delay: "+delay, 1))
	cmd, stderr = w.command("run", "slow.yaml"), new(bytes.Buffer)
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	eventually(w.t, "the first step saves its state", func() bool {
		states, _ := filepath.Glob(filepath.Join(w.dir, ".vapo/store/vapo/live/*/state/state"))
		return len(states) == 1
	})
	return cmd, stderr
}

// TestGatewayRestarts kills the gateway, and the one that replaces it, while a step is running. The runner starts
// another one each time, and neither the stage nor the run fails.
func TestGatewayRestarts(t *testing.T) {
	t.Parallel()
	want := undisturbed(t)
	w := newWorkplace(t)
	cmd, stderr := w.slowRun("0.1")
	for range 2 {
		old := w.gateways()
		for _, pid := range old {
			kill(t, pid, syscall.SIGKILL)
		}
		eventually(t, "there is another gateway", func() bool {
			now := w.gateways()
			return len(now) == 1 && !slices.Contains(old, now[0])
		})
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if got := w.digests(); !maps.Equal(got, want) {
		t.Errorf("the digests are\n%v\nwant\n%v", got, want)
	}
}

// TestTerminate stops a run as Ctrl-C or a scheduler does. The next run must resume from the state that the stage
// saved.
func TestTerminate(t *testing.T) {
	t.Parallel()
	want := undisturbed(t)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		w := newWorkplace(t)
		cmd, stderr := w.slowRun("0.2")
		kill(t, cmd.Process.Pid, sig)
		err := cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 143 {
			t.Fatalf("exit code %d (%v) after %v, want 143\n%s", code, err, sig, stderr.String())
		}
		if text := stderr.String(); !strings.Contains(text, "hint: run the same command again to resume") {
			t.Errorf("no hint to resume:\n%s", text)
		}
		if got := w.states()["one"]; got != "stopped" {
			t.Errorf("the step is %s, not stopped", got)
		}
		w.write("slow.yaml", slow)
		w.must("run", "slow.yaml")
		if got := w.digests(); !maps.Equal(got, want) {
			t.Errorf("the digests are\n%v\nwant\n%v", got, want)
		}
		log, err := filepath.Glob(filepath.Join(w.dir, ".vapo/runs/*/one.log"))
		if err != nil || len(log) != 2 {
			t.Fatalf("logs of step one: %v, %v; want two", log, err)
		}
		if text, err := os.ReadFile(log[1]); err != nil || !strings.Contains(string(text), "resuming") {
			t.Errorf("the second run started over: %v\n%s", err, text)
		}
		if states, _ := filepath.Glob(filepath.Join(w.dir, ".vapo/store/vapo/live/*/state/state")); len(states) > 0 {
			t.Errorf("live state outlived its action: %v", states)
		}
	}
}

// TestInterruptedStatus checks that status calls a run interrupted if its runner was killed.
func TestInterruptedStatus(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("slow.yaml", strings.Replace(slow, "delay: 0.01", "delay: 5", 1))
	cmd := w.command("run", "slow.yaml")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stage starts", func() bool {
		logs, _ := filepath.Glob(filepath.Join(w.dir, ".vapo/runs/*/one.log"))
		return len(logs) == 1
	})
	if got := w.states()["one"]; got != "running" {
		t.Errorf("a running step is %q, want running", got)
	}
	kill(t, cmd.Process.Pid, syscall.SIGKILL)
	_ = cmd.Wait()
	eventually(t, "the stage ends", func() bool { return len(w.processes("toy")) == 0 })
	if got := w.must("status"); !strings.Contains(got, "run ") || !strings.Contains(got, interrupted) {
		t.Errorf("the status of a killed run does not say that it was interrupted:\n%s", got)
	}
}

// TestTwoRunnersAtOnce starts three runners that share a directory, a gateway and all actions. All must succeed.
func TestTwoRunnersAtOnce(t *testing.T) {
	t.Parallel()
	want := undisturbed(t)
	w := newWorkplace(t)
	w.write("slow.yaml", slow)
	results := make(chan error, 3)
	for range cap(results) {
		go func() {
			cmd := w.command("run", "slow.yaml")
			out, err := cmd.CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w\n%s", err, out)
			}
			results <- err
		}()
	}
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if got := w.digests(); !maps.Equal(got, want) {
		t.Errorf("the digests are\n%v\nwant\n%v", got, want)
	}
}
