package embedded_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vapo/lib/objectstore"
	"vapo/lib/objectstore/embedded"
	"vapo/lib/objectstore/objectstoretest"
)

// runnerVar makes this test binary a runner: a process that uses the gateway of a directory, prints its settings and
// waits for its standard input to end.
const runnerVar = "VAPO_TEST_RUNNER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(runnerVar); dir != "" && os.Getenv("VAPO_GATEWAY_READY_FD") == "" {
		os.Exit(runner(dir))
	}
	os.Exit(objectstoretest.Main(m))
}

func runner(dir string) int {
	os.Unsetenv(runnerVar)
	exe, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	child, env, err := embedded.Start(context.Background(), dir, exe)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer child.Close()
	if err := json.NewEncoder(os.Stdout).Encode(env); err != nil {
		return 1
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

type process struct {
	*exec.Cmd
	env   embedded.Env
	stdin io.Closer
	errs  *bytes.Buffer
}

// launch starts a runner; wait until it has printed its settings with ready.
func launch(t *testing.T, dir string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), runnerVar+"="+dir)
	p := &process{Cmd: cmd, errs: &bytes.Buffer{}}
	cmd.Stderr = p.errs
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Errorf("runner: %v: %s", err, p.errs)
		return p
	}
	if err := json.Unmarshal(line, &p.env); err != nil {
		t.Error(err)
	}
	return p
}

func gatewayPID(t *testing.T, dir string) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, ".vapo", "gateway.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s struct{ PID int }
	if err := json.Unmarshal(data, &s); err != nil || s.PID == 0 {
		t.Fatalf("%s: %v", data, err)
	}
	return s.PID
}

// gone waits for a process to end; the test's own time limit is the only one.
func gone(t *testing.T, pid int) {
	t.Helper()
	for alive(pid) {
		if t.Context().Err() != nil {
			t.Fatalf("process %d does not end", pid)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// alive is false for a zombie as well: in a container nobody may reap it.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	_, after, _ := bytes.Cut(stat, []byte(") "))
	return len(after) == 0 || after[0] != 'Z'
}

func start(t *testing.T, dir string) (*embedded.Child, objectstore.Store, embedded.Env) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child, env, err := embedded.Start(t.Context(), dir, exe)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { child.Close() })
	return child, objectstoretest.Open(t, env), env
}

func write(t *testing.T, s objectstore.Store, key, content string) {
	t.Helper()
	if _, err := s.Put(t.Context(), key, strings.NewReader(content), int64(len(content)), objectstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, s objectstore.Store, key string) string {
	t.Helper()
	r, _, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestContentsOutliveTheGateway(t *testing.T) {
	dir := t.TempDir()
	first, s, env := start(t, dir)
	write(t, s, "k", "kept")
	pid := gatewayPID(t, dir)
	if first.Attached() {
		t.Error("the first use attached to something")
	}
	first.Close()
	gone(t, pid)
	if _, err := embedded.Attach(t.Context(), dir); !errors.Is(err, embedded.ErrNotRunning) {
		t.Errorf("attach after the gateway has gone: %v", err)
	}
	_, s, again := start(t, dir)
	if got := read(t, s, "k"); got != "kept" {
		t.Errorf("read %q", got)
	}
	if again.AccessKey != env.AccessKey || again.SecretKey != env.SecretKey {
		t.Error("the keys changed")
	}
}

func TestOthersCannotReadTheKeys(t *testing.T) {
	dir := t.TempDir()
	_, _, env := start(t, dir)
	for name, want := range map[string]os.FileMode{".vapo": 0o700, ".vapo/keys.json": 0o600, ".vapo/gateway.json": 0o600, ".vapo/gateway.log": 0o600} {
		fi, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", name, fi.Mode().Perm(), want)
		}
	}
	_, _, other := start(t, t.TempDir())
	if env.SecretKey == other.SecretKey || env.AccessKey == other.AccessKey || len(env.SecretKey) < 32 {
		t.Error("two directories have the same keys, or weak ones")
	}
	if !strings.HasPrefix(env.Endpoint, "http://127.0.0.1:") {
		t.Errorf("the gateway listens at %s", env.Endpoint)
	}
	data, err := os.ReadFile(filepath.Join(dir, ".vapo", "gateway.log"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte(env.SecretKey)) {
		t.Error("the log tells the secret")
	}
}

// TestParentKilled: kill -9 leaves no gateway behind.
func TestParentKilled(t *testing.T) {
	dir := t.TempDir()
	r := launch(t, dir)
	pid := gatewayPID(t, dir)
	if !alive(pid) {
		t.Fatal("there is no gateway")
	}
	if err := r.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	gone(t, pid)
	start(t, dir)
}

// TestSecondRunner: it uses the first one's gateway and keeps it when the first one is killed; the last one takes it
// along.
func TestSecondRunner(t *testing.T) {
	dir := t.TempDir()
	first := launch(t, dir)
	pid := gatewayPID(t, dir)
	second, s, env := start(t, dir)
	if !second.Attached() || env != first.env {
		t.Fatalf("the second runner has %+v, attached %v; the first one %+v", env.Endpoint, second.Attached(), first.env.Endpoint)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	// Long enough for a gateway that goes with its parent to have gone.
	for range 20 {
		write(t, s, "k", "still here")
		time.Sleep(10 * time.Millisecond)
	}
	second.Close()
	gone(t, pid)
}

// TestGatewayKilled: what a killed gateway leaves behind misleads nobody, even when its port has gone to a stranger.
func TestGatewayKilled(t *testing.T) {
	dir := t.TempDir()
	first, s, env := start(t, dir)
	write(t, s, "k", "kept")
	if err := syscall.Kill(gatewayPID(t, dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	first.Close()
	if _, err := os.Stat(filepath.Join(dir, ".vapo", "gateway.json")); err != nil {
		t.Fatalf("the test wants stale state: %v", err)
	}
	stranger, err := net.Listen("tcp", strings.TrimPrefix(env.Endpoint, "http://"))
	if err == nil {
		defer stranger.Close()
		go func() {
			for {
				c, err := stranger.Accept()
				if err != nil {
					return
				}
				fmt.Fprint(c, "HTTP/1.1 403 Go Away\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				c.Close()
			}
		}()
	}
	_, s, again := start(t, dir)
	if again.Endpoint == env.Endpoint {
		t.Error("it attached to the stranger")
	}
	if got := read(t, s, "k"); got != "kept" {
		t.Errorf("read %q", got)
	}
}

// TestManyStartAtOnce: one gateway results and everyone gets it.
func TestManyStartAtOnce(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	runners := make([]*process, 6)
	for i := range runners {
		wg.Go(func() { runners[i] = launch(t, dir) })
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	pid := gatewayPID(t, dir)
	for _, r := range runners {
		if r.env != runners[0].env {
			t.Errorf("two gateways: %s and %s", r.env.Endpoint, runners[0].env.Endpoint)
		}
	}
	for _, r := range runners {
		r.stdin.Close()
		if err := r.Wait(); err != nil {
			t.Errorf("runner: %v: %s", err, r.errs)
		}
	}
	gone(t, pid)
}

// TestSignalsDoNotReachTheGateway: on Ctrl-C a stage still has to save.
func TestSignalsDoNotReachTheGateway(t *testing.T) {
	dir := t.TempDir()
	_, s, _ := start(t, dir)
	pid := gatewayPID(t, dir)
	if pgid, err := syscall.Getpgid(pid); err != nil || pgid == syscall.Getpgrp() {
		t.Errorf("the gateway is in this process group, %v", err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		write(t, s, "k", "v")
		time.Sleep(10 * time.Millisecond)
	}
}

// TestSidecar runs the suite over a file system as if it had no extended attributes, and checks that the choice is
// kept.
func TestSidecar(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, ".vapo", "sidecar"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, _, env := start(t, dir)
	n := 0
	objectstoretest.Run(t, func(t testing.TB) objectstore.Store {
		n++
		own := env
		own.Store += fmt.Sprintf("/%d", n)
		return objectstoretest.Open(t, own)
	})
	entries, err := os.ReadDir(filepath.Join(dir, ".vapo", "sidecar"))
	if err != nil || len(entries) == 0 {
		t.Errorf("nothing was kept beside the files: %v", err)
	}
}

func TestServeForAPerson(t *testing.T) {
	dir := t.TempDir()
	start(t, dir)
	err := embedded.Serve(t.Context(), embedded.Options{Dir: dir})
	if !errors.Is(err, embedded.ErrRunning) {
		t.Errorf("a second gateway: %v", err)
	}
}

func TestStartFailures(t *testing.T) {
	if _, _, err := embedded.Start(t.Context(), t.TempDir(), "/no/such/program"); !errors.Is(err, objectstore.ErrUnreachable) || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("missing program: %v", err)
	}
	if _, _, err := embedded.Start(t.Context(), t.TempDir(), "/bin/false"); !errors.Is(err, objectstore.ErrUnreachable) {
		t.Errorf("a program that ends at once: %v", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".vapo"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := embedded.Start(t.Context(), dir, os.Args[0])
	var typed *objectstore.Error
	if !errors.As(err, &typed) || typed.Hint == "" {
		t.Errorf("a file in the way: %v", err)
	}
}

func TestShell(t *testing.T) {
	env := embedded.Env{Endpoint: "http://127.0.0.1:1", AccessKey: "a", SecretKey: `it's $HOME "x"`, Region: "us-east-1", Store: "s3://vapo"}
	cmd := exec.Command("sh", "-c", `eval "$1"; printf '%s|%s|%s|%s|%s|%s' "$AWS_ENDPOINT_URL" "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" "$AWS_REGION" "$VAPO_STORE" "${AWS_SESSION_TOKEN-unset}"`, "sh", env.Shell())
	cmd.Env = []string{"AWS_SESSION_TOKEN=of another store"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	if want := `http://127.0.0.1:1|a|it's $HOME "x"|us-east-1|s3://vapo|unset`; string(out) != want {
		t.Errorf("the shell has %s, want %s", out, want)
	}
}
