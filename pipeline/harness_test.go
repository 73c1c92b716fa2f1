package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vapo/lib/failure"
	"vapo/lib/objectstore/embedded/server"
	"vapo/lib/objectstore/objectstoretest"
)

// The tests of this package run the real program with the toy stage and the embedded gateway. Each test uses its own
// directory.

var binaries string

func TestMain(m *testing.M) {
	if code, ran := server.RunChild(); ran { // this process was a gateway, which needs none of the programs built below
		os.Exit(code)
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "pipeline-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binaries = dir
		build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), ".", "./testdata/toy")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "building the programs under test:", err)
			return 1
		}
		return objectstoretest.Main(m)
	}())
}

// stagePrograms builds the real stages once. They are removed with the other programs.
var stagePrograms = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(binaries, "stages")
	out, err := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "../stages/...").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("building the stages: %w\n%s", err, out)
	}
	return dir, err
})

// buildStages returns the directory of the real stage programs.
func buildStages(t *testing.T) string {
	t.Helper()
	dir, err := stagePrograms()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// workplace is a directory in which a test runs commands.
type workplace struct {
	t   *testing.T
	bin string // the directory of the programs
	dir string
	env []string
}

type result struct {
	code           failure.Class
	stdout, stderr string
}

func newWorkplace(t *testing.T) *workplace {
	t.Helper()
	w := &workplace{t: t, bin: binaries, dir: t.TempDir()}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_") && !strings.HasPrefix(v, "VAPO_") {
			w.env = append(w.env, v)
		}
	}
	w.env = append(w.env, "TZ=UTC")
	// Wait before the directory is removed, because the gateway of a killed runner may still be writing to it.
	t.Cleanup(func() {
		eventually(t, "all processes of the test have ended",
			func() bool { return len(w.running("toy"))+len(w.running("pipeline")) == 0 })
	})
	return w
}

func (w *workplace) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *workplace) command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(w.bin, "pipeline"), args...)
	cmd.Dir, cmd.Env = w.dir, w.env
	return cmd
}

// run runs the pipeline program and waits for it to end.
func (w *workplace) run(args ...string) result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := w.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	defer context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return result{failure.Class(cmd.ProcessState.ExitCode()), stdout.String(), stderr.String()}
}

// must runs a command, fails the test if the command fails, and returns standard output.
func (w *workplace) must(args ...string) string {
	w.t.Helper()
	res := w.run(args...)
	if res.code != 0 {
		w.t.Fatalf("pipeline %s: exit code %d\n%s%s", strings.Join(args, " "), res.code, res.stdout, res.stderr)
	}
	return res.stdout
}

// fails runs a command that must fail with the given exit code and print every text in want to standard error.
func (w *workplace) fails(code failure.Class, want []string, args ...string) result {
	w.t.Helper()
	res := w.run(args...)
	if res.code != code {
		w.t.Fatalf("pipeline %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), res.code, code, res.stdout,
			res.stderr)
	}
	for _, text := range want {
		if !strings.Contains(res.stderr, text) {
			w.t.Errorf("pipeline %s does not print %q:\n%s", strings.Join(args, " "), text, res.stderr)
		}
	}
	return res
}

// serve serves the store of the workplace until the test ends, and returns the variables of its environment.
func (w *workplace) serve() (env []string) {
	w.t.Helper()
	serve := w.command("store", "serve")
	if err := serve.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = serve.Process.Signal(os.Interrupt)
		_ = serve.Wait()
	})
	eventually(w.t, "the store is served", func() bool {
		res := w.run("store", "env")
		for line := range strings.Lines(res.stdout) {
			if kv, ok := strings.CutPrefix(strings.TrimSpace(line), "export "); ok {
				env = append(env, strings.ReplaceAll(kv, "'", ""))
			}
		}
		return res.code == 0
	})
	return env
}

// states returns the state of every step of the latest run.
func (w *workplace) states() map[string]string {
	w.t.Helper()
	out := map[string]string{}
	for _, line := range strings.Split(w.must("status"), "\n") {
		if f := strings.Fields(line); len(f) >= 3 && f[1] == "toy" {
			out[f[0]] = f[2]
		}
	}
	return out
}

// wantStates checks the states of the steps of the latest run.
func (w *workplace) wantStates(what string, want map[string]string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.states()); diff != "" {
		w.t.Errorf("%s: states (-want +got):\n%s", what, diff)
	}
}

// digests returns the digest of every output of the latest run.
func (w *workplace) digests() map[string]string {
	w.t.Helper()
	out := map[string]string{}
	for _, line := range strings.Split(w.must("ls"), "\n") {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[len(f)-1], "sha256:") {
			out[f[0]] = f[len(f)-1]
		}
	}
	if len(out) == 0 {
		w.t.Fatal("the latest run has no outputs")
	}
	return out
}

// blob returns the path of the file in which the embedded store keeps a blob.
func (w *workplace) blob(digest string) string {
	w.t.Helper()
	hexes := strings.TrimPrefix(digest, "sha256:")
	path := filepath.Join(w.dir, ".vapo", "store", "vapo", "blobs", "sha256", hexes[:2], hexes)
	if _, err := os.Stat(path); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// damage flips a bit in the middle of a blob.
func (w *workplace) damage(digest string) {
	w.t.Helper()
	path := w.blob(digest)
	data, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// processes returns the IDs of the processes that run a program under test with a working or scratch directory in
// w.dir. It skips the test if there is no /proc.
func (w *workplace) processes(program string) []int {
	w.t.Helper()
	if _, err := os.Stat("/proc/self/exe"); err != nil {
		w.t.Skip("this test needs /proc")
	}
	return w.running(program)
}

// running is like processes, but returns nil if there is no /proc.
func (w *workplace) running(program string) []int {
	files, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		w.t.Fatal(err)
	}
	var pids []int
	for _, path := range files {
		exe, err := os.Readlink(path)
		if err != nil || exe != filepath.Join(w.bin, program) {
			continue
		}
		environ, err := os.ReadFile(filepath.Join(filepath.Dir(path), "environ"))
		if err != nil {
			continue
		}
		cwd, _ := os.Readlink(filepath.Join(filepath.Dir(path), "cwd"))
		if !strings.HasPrefix(cwd, w.dir) && !bytes.Contains(environ, []byte(w.dir)) {
			continue
		}
		if pid, err := strconv.Atoi(strings.Split(path, "/")[2]); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// eventually waits until f returns true, and fails the test if this takes too long.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("timeout while waiting until: %s", what)
}

func kill(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Signal(sig)
	}
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// latest returns the path of a file in the directory of the latest run that has one.
func (w *workplace) latest(file string) string {
	w.t.Helper()
	found, err := filepath.Glob(filepath.Join(w.dir, ".vapo/runs/*", file))
	if err != nil || len(found) == 0 {
		w.t.Fatalf("no run has %s: %v", file, err)
	}
	return found[len(found)-1]
}
