package main

import (
	"bufio"
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vapo/lib/failure"
)

func outputs(t *testing.T, dir string) (checkpoint, metrics []byte) {
	t.Helper()
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return read("checkpoint.arrow"), read("metrics.ndjson")
}

// attempt starts the stage and, if sig is not 0, sends it that signal a given time after the training begins. It
// returns the exit code, which is -1 if the signal killed the stage, and standard error.
func attempt(t *testing.T, args []string, sig syscall.Signal, after time.Duration) (code failure.Class, stderr string) {
	t.Helper()
	return attemptOf(t, binary(), args, sig, after)
}

// attemptOf is like attempt, but runs the given program instead of the stage's binary.
func attemptOf(t *testing.T, program string, args []string, sig syscall.Signal,
	after time.Duration) (code failure.Class, stderr string) {
	t.Helper()
	c := exec.Command(program, args...)
	pipe, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		text.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), `"unit":"steps"`) { // the first progress line: training begins
			break
		}
	}
	if sig != 0 {
		time.AfterFunc(after, func() { _ = c.Process.Signal(sig) }) // the process may have ended already
	}
	for lines.Scan() {
		text.WriteString(lines.Text() + "\n")
	}
	_ = c.Wait() // the exit code is checked instead of the error
	return failure.Class(c.ProcessState.ExitCode()), text.String()
}

// A run may be interrupted or killed many times: repeating the same command ends with the same bytes.
func TestKilledRunsEndInTheSameBytes(t *testing.T) {
	squares := pictures(t, 8, nil)
	for name, args := range map[string][]string{
		"mlp with snapshots": small(points(t), "--width=96", "--batch=400", "--steps=120", "--checkpoint-every=9",
			"--sample-every=11", "--score-n=300", "--sample-steps=6"),
		"unet with snapshots": smallUNet(squares, "--steps=40", "--checkpoint-every=4", "--sample-every=7", "--score-n=40",
			"--sample-steps=4", "--input=features="+classifierFor(t, squares)),
		"mlp": small(points(t), "--width=96", "--batch=400", "--steps=260", "--field-every=50",
			"--checkpoint-every=9", "--ema-profiles=[0.05,0.1]", "--ema-snapshot-every=8"),
		"unet": smallUNet(pictures(t, 8, nil), "--flip", "--steps=150", "--checkpoint-every=4"),
	} {
		t.Run(name, func(t *testing.T) {
			whole, broken := t.TempDir(), t.TempDir()
			binary() // build the program before measuring time
			start := time.Now()
			if code, stderr := attempt(t, append(args, "--out="+whole, "--checkpoint-every=1000"), 0, 0); code != 0 {
				t.Fatalf("exit %d\n%s", code, stderr)
			}
			took := time.Since(start)
			args = append(args, "--out="+broken)
			killed, resumed := 0, 0
			rng := rand.New(rand.NewPCG(uint64(start.UnixNano()), 0))
			for {
				sig := syscall.SIGKILL
				if killed%2 == 1 {
					sig = syscall.SIGTERM
				}
				if killed >= 5 {
					sig = 0 // let the run finish
				}
				code, stderr := attempt(t, args, sig, time.Duration(rng.Int64N(int64(took)/8))) // well before the end
				if strings.Contains(stderr, "resuming") {
					resumed++
				}
				if code == 0 {
					break
				}
				if want := map[syscall.Signal]failure.Class{syscall.SIGKILL: -1, syscall.SIGTERM: 143}[sig]; code != want {
					t.Fatalf("exit %d after %v, want %d\n%s", code, sig, want, stderr)
				}
				if _, err := os.Stat(filepath.Join(broken, "manifest.json")); err == nil {
					t.Fatal("a stopped run left a manifest, which means success")
				}
				killed++
			}
			t.Logf("stopped %d times, resumed %d times", killed, resumed)
			if resumed == 0 && killed > 1 {
				t.Error("no run resumed")
			}
			c1, m1 := outputs(t, whole)
			c2, m2 := outputs(t, broken)
			if !bytes.Equal(m1, m2) {
				t.Errorf("metrics differ:\n%s\nuninterrupted:\n%s", m2, m1)
			}
			if !bytes.Equal(c1, c2) {
				t.Error("checkpoints differ")
			}
			p1, err1 := os.ReadFile(filepath.Join(whole, "progress.png"))
			p2, err2 := os.ReadFile(filepath.Join(broken, "progress.png"))
			if want := strings.Contains(name, "snapshots"); !bytes.Equal(p1, p2) || want != (err1 == nil) ||
				want != (err2 == nil) {
				t.Errorf("progress.png: want equal bytes from both runs if they take snapshots (%v), else no file (%v, %v)", want,
					err1, err2)
			}
			a1, err1 := os.ReadFile(filepath.Join(whole, "averages.arrow"))
			a2, err2 := os.ReadFile(filepath.Join(broken, "averages.arrow"))
			if kept := strings.Contains(strings.Join(args, " "), "--ema-snapshot-every"); !bytes.Equal(a1, a2) ||
				kept != (err1 == nil) || kept != (err2 == nil) {
				t.Errorf("averages.arrow: want equal bytes from both runs if they keep averages (%v), else no file (%v, %v)", kept,
					err1, err2)
			}
			if _, err := os.Stat(filepath.Join(broken, ".live")); err == nil {
				t.Error("the resumable state is still there after success")
			}
		})
	}
}

// A run whose values become infinite or NaN stops, reports the step, and keeps the state before that step.
func TestDivergence(t *testing.T) {
	dir := t.TempDir()
	args := small(points(t), "--learning-rate=1e30", "--warmup=0", "--out="+dir)
	for k := range 2 {
		code, stderr := attempt(t, args, 0, 0)
		if code != 6 || !strings.Contains(stderr, "diverged at step 1:") ||
			!strings.Contains(stderr, "the state after 1 steps is kept") {
			t.Errorf("run %d: exit %d, want 6 and a message that names step 1 and the state that is kept\n%s", k, code,
				stderr)
		}
		if resumed := strings.Contains(stderr, `"resuming","step":1`); resumed != (k == 1) {
			t.Errorf("run %d: it resumed: %v, want only the second run to resume\n%s", k, resumed, stderr)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "[^.]*")); err != nil || len(left) > 0 {
		t.Errorf("the diverged run left the outputs %v", left)
	}
}

// Damage to the resumable checkpoint, or to a snapshot of the averages, costs time but does not change the result.
func TestDamagedState(t *testing.T) {
	data, whole := points(t), t.TempDir()
	args := small(data, "--width=192", "--batch=1000", "--steps=200", "--checkpoint-every=3", "--ema-profiles=[0.1]",
		"--ema-snapshot-every=1") // kept every 16 steps
	if code, stderr := attempt(t, append(args, "--out="+whole), 0, 0); code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	for damaged, want := range map[string]string{
		"state": "is damaged; starting over", "averages-16": "the resumable checkpoint cannot be used and is ignored",
	} {
		broken := t.TempDir()
		args := append(args, "--out="+broken)
		find := func() []string {
			found, err := filepath.Glob(filepath.Join(broken, ".live", "*", damaged))
			if err != nil {
				t.Fatal(err)
			}
			return found
		}
		for len(find()) == 0 {
			if code, stderr := attempt(t, args, syscall.SIGTERM, 20*time.Millisecond); code != 143 {
				t.Fatalf("exit %d: the run should have been stopped long before its end\n%s", code, stderr)
			}
		}
		file := find()[0]
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		code, stderr := attempt(t, args, 0, 0)
		if code != 0 || strings.Contains(stderr, `"resuming"`) || !strings.Contains(stderr, want) {
			t.Errorf("damaged %s: exit %d, want 0, the warning %q and no resuming\n%s", damaged, code, want, stderr)
		}
		c1, _ := outputs(t, whole)
		c2, _ := outputs(t, broken)
		a1, err1 := os.ReadFile(filepath.Join(whole, "averages.arrow"))
		a2, err2 := os.ReadFile(filepath.Join(broken, "averages.arrow"))
		if !bytes.Equal(c1, c2) || !bytes.Equal(a1, a2) || err1 != nil || err2 != nil {
			t.Errorf("damaged %s: checkpoints or averages differ (%v, %v)", damaged, err1, err2)
		}
	}
}
