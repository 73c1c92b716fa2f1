//go:build unix

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
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"vapo/lib/failure"
	"vapo/lib/objectstore"
	"vapo/lib/objectstore/embedded"
	"vapo/lib/objectstore/gateway"
	"vapo/lib/objectstore/objectstoretest"
)

// runnerVar makes this test binary a runner: a process that starts or attaches to the gateway of a directory, prints
// the gateway's settings and waits until its standard input closes.
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

// launch starts a runner and waits until it has printed its settings.
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
		t.Errorf("the runner printed no settings: %v: %s", err, p.errs)
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
		t.Fatalf("the gateway's state is %s, error %v, want a process id in it", data, err)
	}
	return s.PID
}

// gone waits for a process to end.
func gone(t *testing.T, pid int) {
	t.Helper()
	for alive(pid) {
		if t.Context().Err() != nil {
			t.Fatalf("process %d does not end", pid)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// alive reports whether a process is running. A zombie counts as ended, because in a container it may never be reaped.
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
	body := strings.NewReader(content)
	if _, err := s.Put(t.Context(), key, body, int64(len(content)), objectstore.PutOptions{}); err != nil {
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
		t.Error("the first Start attached to a gateway instead of starting one")
	}
	first.Close()
	gone(t, pid)
	if _, err := embedded.Attach(t.Context(), dir); !errors.Is(err, gateway.ErrNotRunning) {
		t.Errorf("attach after the gateway has gone: error %v, want ErrNotRunning", err)
	}
	_, s, again := start(t, dir)
	if got := read(t, s, "k"); got != "kept" {
		t.Errorf("read %q, want %q", got, "kept")
	}
	if again.AccessKey != env.AccessKey || again.SecretKey != env.SecretKey {
		t.Error("the keys changed")
	}
}

// TestUnusedConnection: Close returns when the gateway has ended, even if a client holds a connection that it has not
// used yet. HTTP clients open such connections.
func TestUnusedConnection(t *testing.T) {
	dir := t.TempDir()
	child, _, env := start(t, dir)
	conn, err := net.Dial("tcp", strings.TrimPrefix(env.Endpoint, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	pid := gatewayPID(t, dir)
	child.Close()
	if alive(pid) {
		t.Error("the gateway still runs")
	}
}

func TestOthersCannotReadTheKeys(t *testing.T) {
	dir := t.TempDir()
	_, _, env := start(t, dir)
	for name, want := range map[string]os.FileMode{
		".vapo": 0o700, ".vapo/keys.json": 0o600, ".vapo/gateway.json": 0o600, ".vapo/gateway.log": 0o600,
	} {
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
		t.Error("two directories share a key, or the secret key has fewer than 32 characters")
	}
	if !strings.HasPrefix(env.Endpoint, "http://127.0.0.1:") {
		t.Errorf("the gateway listens at %s, want an address that begins with http://127.0.0.1:", env.Endpoint)
	}
	data, err := os.ReadFile(filepath.Join(dir, ".vapo", "gateway.log"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte(env.SecretKey)) {
		t.Error("the log contains the secret")
	}
}

// TestParentKilled: if the runner that started a gateway is killed, the gateway ends.
func TestParentKilled(t *testing.T) {
	dir := t.TempDir()
	r := launch(t, dir)
	pid := gatewayPID(t, dir)
	if !alive(pid) {
		t.Fatal("no gateway runs")
	}
	if err := r.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	gone(t, pid)
	start(t, dir)
}

// TestSecondRunner: a second runner uses the first runner's gateway. The gateway survives when the first runner is
// killed, and ends with the last runner.
func TestSecondRunner(t *testing.T) {
	dir := t.TempDir()
	first := launch(t, dir)
	pid := gatewayPID(t, dir)
	second, s, env := start(t, dir)
	if !second.Attached() || env != first.env {
		t.Fatalf("the second runner uses %s, attached: %v, want the settings of the first runner, %s, attached: true",
			env.Endpoint, second.Attached(), first.env.Endpoint)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	// A gateway that ended with its parent would be gone within this time.
	for range 20 {
		write(t, s, "k", "still here")
		time.Sleep(10 * time.Millisecond)
	}
	second.Close()
	gone(t, pid)
}

// TestGatewayKilled: the state file of a killed gateway is ignored, even if another program now uses its port.
func TestGatewayKilled(t *testing.T) {
	dir := t.TempDir()
	first, s, env := start(t, dir)
	write(t, s, "k", "kept")
	if err := syscall.Kill(gatewayPID(t, dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	first.Close()
	if _, err := os.Stat(filepath.Join(dir, ".vapo", "gateway.json")); err != nil {
		t.Fatalf("the killed gateway has left no state file, which the test needs: %v", err)
	}
	impostor, err := net.Listen("tcp", strings.TrimPrefix(env.Endpoint, "http://"))
	if err == nil {
		defer impostor.Close()
		go func() {
			for {
				c, err := impostor.Accept()
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
		t.Error("Start attached to the other program")
	}
	if got := read(t, s, "k"); got != "kept" {
		t.Errorf("read %q, want %q", got, "kept")
	}
}

// TestImpostor: a client with the settings of a gateway that has ended never talks to a program that now uses the
// gateway's port.
func TestImpostor(t *testing.T) {
	var dir string
	var env embedded.Env
	var impostor net.Listener
	for impostor == nil { // repeated if another program takes the dead gateway's port first
		var child *embedded.Child
		dir = t.TempDir()
		child, _, env = start(t, dir)
		killHard(t, gatewayPID(t, dir))
		child.Close()
		var err error
		impostor, err = net.Listen("tcp", strings.TrimPrefix(env.Endpoint, "http://"))
		if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
	}
	defer impostor.Close()
	var visits atomic.Int64
	go func() {
		for {
			c, err := impostor.Accept()
			if err != nil {
				return
			}
			visits.Add(1)
			c.Close()
		}
	}()
	cfg, err := env.Config()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err = objectstore.Open(ctx, cfg)
	if err == nil || !strings.Contains(failure.HintOf(err), filepath.Join(dir, ".vapo", "gateway.log")) {
		t.Errorf("error %v, hint %q, want a hint that names the gateway's log", err, failure.HintOf(err))
	}
	_, _, again := start(t, dir)
	if _, err := objectstore.Open(t.Context(), cfg); err != nil || again.Endpoint == env.Endpoint {
		t.Errorf("Open with the old settings: error %v; gateways: old %s, new %s; want no error and another address",
			err, env.Endpoint, again.Endpoint)
	}
	if n := visits.Load(); n != 0 {
		t.Errorf("%d connections to the other program, want 0", n)
	}
}

// TestOtherEndpoint: the variables of a gateway do not affect clients of another server.
func TestOtherEndpoint(t *testing.T) {
	_, _, env := start(t, t.TempDir())
	vars := map[string]string{}
	for _, kv := range env.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		vars[name] = value
	}
	vars["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1"
	cfg, err := objectstore.FromEnv(func(name string) string { return vars[name] })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := objectstore.Open(t.Context(), cfg); err == nil {
		t.Error("Open used the embedded store instead of AWS_ENDPOINT_URL")
	}
}

// TestRestart: a gateway that is killed is started again by one of its users, even if its parent has ended.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	first := launch(t, dir)
	_, s, _ := start(t, dir)
	write(t, s, "k", "kept")
	kill := func() {
		t.Helper()
		old := gatewayPID(t, dir)
		killHard(t, old)
		for deadline := time.Now().Add(30 * time.Second); gatewayPID(t, dir) == old; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("no gateway was started")
			}
		}
		if got := read(t, s, "k"); got != "kept" {
			t.Errorf("read %q, want %q", got, "kept")
		}
	}
	kill()
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	kill()
}

func killHard(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	gone(t, pid)
}

// TestManyStartAtOnce: runners that start together start one gateway and share it.
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
			t.Errorf("the runners use two gateways: %s and %s", r.env.Endpoint, runners[0].env.Endpoint)
		}
	}
	for _, r := range runners {
		r.stdin.Close()
		if err := r.Wait(); err != nil {
			t.Errorf("a runner failed: %v: %s", err, r.errs)
		}
	}
	gone(t, pid)
}

// TestSignalsDoNotReachTheGateway: the gateway survives Ctrl-C, so that a stage can still save its state.
func TestSignalsDoNotReachTheGateway(t *testing.T) {
	dir := t.TempDir()
	_, s, _ := start(t, dir)
	pid := gatewayPID(t, dir)
	if pgid, err := syscall.Getpgid(pid); err != nil || pgid == syscall.Getpgrp() {
		t.Errorf("the gateway is in the test's process group, or ended: %v", err)
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
