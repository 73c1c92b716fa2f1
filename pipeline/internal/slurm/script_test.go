//go:build unix

package slurm

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vapo/pipeline/internal/recipe"
	"vapo/pipeline/internal/runner"
)

// stage stands for a pipeline whose stage saves its state after SIGTERM.
const stage = `#!/bin/sh
trap 'exit 143' TERM
echo $$ >"$STARTED.part"
mv "$STARTED.part" "$STARTED"
while :; do sleep 0.1; done
`

// TestScriptOptions sends SIGUSR1, as Slurm does at the time limit, to scripts whose site sets options of the shell.
// The script must wait for its stage, put the job back into the queue, and print no credentials.
func TestScriptOptions(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skipf("the scripts of jobs need bash: %v", err)
	}
	for _, site := range []string{
		"", "set -euo pipefail", "set -Eeu\ntrap 'exit 1' ERR", "set -xv", "set -m", "set -o errexit -o xtrace",
	} {
		dir := t.TempDir()
		program := executable(t, dir, "pipeline", stage)
		executable(t, dir, "scontrol", "#!/bin/sh\necho \"$@\" >>\""+dir+"/calls\"\n")
		j := job("a", &recipe.Step{})
		j.Dir = dir
		executable(t, dir, runner.StoreEnvFile, "export AWS_SECRET_ACCESS_KEY='hush'\n: $UNSET\n")
		_, script, err := (&Slurm{Site: siteOf(t, site), Program: program}).Command(j)
		if err != nil {
			t.Fatal(err)
		}
		started := filepath.Join(dir, "started")
		cmd := exec.Command("bash", executable(t, dir, "script", script))
		cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "STARTED=" + started, "SLURM_JOB_ID=7", "TMPDIR=" + dir}
		var output bytes.Buffer
		cmd.Stdout, cmd.Stderr = &output, &output
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(started); err == nil {
				break
			}
			if time.Now().After(deadline) {
				_ = cmd.Process.Kill()
				t.Fatalf("site %q: the stage does not start\n%s", site, output.String())
			}
		}
		if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // the exit code says it
		calls, _ := os.ReadFile(filepath.Join(dir, "calls"))
		text, _ := os.ReadFile(started)
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		runs := syscall.Kill(pid, 0) == nil
		if code := cmd.ProcessState.ExitCode(); code != 143 || string(calls) != "requeue 7\n" || runs {
			t.Errorf("site %q: exit code %d, stage runs: %v, scontrol %q; want 143, a stage that has ended, and requeue 7\n%s",
				site, code, runs, calls, output.String())
		}
		if strings.Contains(output.String(), "hush") {
			t.Errorf("site %q: the output shows the credentials:\n%s", site, output.String())
		}
	}
}
