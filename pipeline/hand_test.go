package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/failure"
)

// hand runs a program in the workplace without the runner, as a user would.
func (w *workplace) hand(program string, args ...string) result {
	w.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = w.dir, w.env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // the test checks the exit code instead
	return result{failure.Class(cmd.ProcessState.ExitCode()), stdout.String(), stderr.String()}
}

// TestStageByHand checks that a stage without VAPO_STORE finds the store of the working directory, whether or not a
// gateway serves it.
func TestStageByHand(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	toy := filepath.Join(binaries, "toy")
	args := []string{"--input", "data=ref:start", "--steps=3", "--out=made"}
	res := w.hand(toy, args...)
	if res.code != failure.Input || !strings.Contains(res.stderr, "there is no store in this directory\nhint: ") {
		t.Errorf("without a store: exit code %d, want 3 and a hint; %s", res.code, res.stderr)
	}
	w.write("start.json", "{}")
	w.must("put", "start.json", "--ref", "start")
	if res = w.hand(toy, args...); res.code != 0 || !strings.HasPrefix(res.stdout, "in made: out.json (") {
		t.Errorf("exit code %d, want 0 and the name of the output; %s%s", res.code, res.stdout, res.stderr)
	}
	eventually(t, "the gateway ends with the stage", func() bool { return len(w.running("pipeline")) == 0 })

	// A stage that was copied to another directory cannot start a gateway, but it can use a running one.
	alone := filepath.Join(t.TempDir(), "toy")
	if err := os.Link(toy, alone); err != nil {
		t.Fatal(err)
	}
	const hint = "hint: run pipeline store serve in this directory"
	if res = w.hand(alone, args...); res.code != failure.Usage || !strings.Contains(res.stderr, hint) {
		t.Errorf("without the runner: exit code %d, want 2 and %q; %s", res.code, hint, res.stderr)
	}
	w.serve()
	for _, program := range []string{toy, alone} {
		if res = w.hand(program, args...); res.code != 0 {
			t.Errorf("%s, served: exit code %d, %s", program, res.code, res.stderr)
		}
	}
}
