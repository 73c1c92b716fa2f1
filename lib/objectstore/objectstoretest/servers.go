// Package objectstoretest starts real stores for tests and has the conformance suite that every store must pass.
//
// Nothing is mocked. Tests run against the embedded gateway and, if a MinIO server is installed, also against MinIO as
// an independent second implementation. A package that uses [Embedded] needs a TestMain that calls [Main], because the
// gateway runs as a second process of the test binary.
package objectstoretest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"vapo/lib/objectstore"
	"vapo/lib/objectstore/embedded"
)

var servers struct {
	sync.Mutex
	dir     string
	gateway *embedded.Child
	env     embedded.Env
	minio   *exec.Cmd
	second  embedded.Env
}

// Main runs a package's tests. Call it from TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(objectstoretest.Main(m)) }
func Main(m *testing.M) int {
	if code, ran := embedded.RunChild(); ran {
		return code
	}
	code := m.Run()
	servers.Lock()
	defer servers.Unlock()
	if servers.gateway != nil {
		servers.gateway.Close()
	}
	if servers.minio != nil {
		_ = servers.minio.Process.Kill()
		_ = servers.minio.Wait()
	}
	if servers.dir != "" {
		os.RemoveAll(servers.dir)
	}
	return code
}

// EmbeddedEnv returns the settings of an empty store for this test, to pass to programs that the test starts. All tests
// of a package share one gateway.
func EmbeddedEnv(t testing.TB) embedded.Env {
	t.Helper()
	servers.Lock()
	defer servers.Unlock()
	if servers.gateway == nil {
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		dir := serverDir(t)
		servers.gateway, servers.env, err = embedded.Start(t.Context(), dir, exe)
		if err != nil {
			log, _ := os.ReadFile(filepath.Join(dir, ".vapo", "gateway.log"))
			t.Fatalf("%v\n%s", err, log)
		}
	}
	return ownPrefix(servers.env)
}

// Embedded returns an empty store for this test, served by the embedded gateway.
func Embedded(t testing.TB) objectstore.Store {
	t.Helper()
	return Open(t, EmbeddedEnv(t))
}

// MinIOEnv is like EmbeddedEnv for a MinIO server. The binary is $VAPO_MINIO or minio in PATH; the test is skipped if
// neither exists.
func MinIOEnv(t testing.TB) embedded.Env {
	t.Helper()
	exe := os.Getenv("VAPO_MINIO")
	if exe == "" {
		var err error
		if exe, err = exec.LookPath("minio"); err != nil {
			t.Skip("no MinIO server: set VAPO_MINIO to its binary, or put minio into PATH")
		}
	}
	servers.Lock()
	defer servers.Unlock()
	if servers.minio == nil {
		servers.second = startMinIO(t, exe)
	}
	return ownPrefix(servers.second)
}

// MinIO returns an empty store for this test, served by MinIO. See MinIOEnv.
func MinIO(t testing.TB) objectstore.Store {
	t.Helper()
	return Open(t, MinIOEnv(t))
}

// Open opens the store that env describes.
func Open(t testing.TB, env embedded.Env) objectstore.Store {
	t.Helper()
	cfg, err := env.Config()
	if err != nil {
		t.Fatal(err)
	}
	return open(t, cfg)
}

func open(t testing.TB, cfg objectstore.Config) objectstore.Store {
	t.Helper()
	s, err := objectstore.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ownPrefix(env embedded.Env) embedded.Env {
	env.Store += "/" + strings.ToLower(rand.Text())
	return env
}

func serverDir(t testing.TB) string {
	t.Helper()
	if servers.dir == "" {
		dir, err := os.MkdirTemp("", "vapo-objectstoretest-*")
		if err != nil {
			t.Fatal(err)
		}
		servers.dir = dir
	}
	return servers.dir
}

func startMinIO(t testing.TB, exe string) embedded.Env {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	dir := filepath.Join(serverDir(t), "minio")
	env := embedded.Env{
		Endpoint: "http://" + addr, AccessKey: rand.Text(), SecretKey: rand.Text(), Region: "us-east-1", Store: "s3://vapo",
	}
	log, err := os.Create(filepath.Join(serverDir(t), "minio.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(exe, "server", "--address", addr, "--console-address", "127.0.0.1:0", dir)
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+env.AccessKey, "MINIO_ROOT_PASSWORD="+env.SecretKey,
		"MINIO_BROWSER=off", "MINIO_UPDATE=off")
	cmd.Stdout, cmd.Stderr = log, log
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	servers.minio = cmd
	cfg, err := env.Config()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := objectstore.CreateBucket(ctx, cfg)
		if err == nil {
			return env
		}
		if ctx.Err() != nil {
			text, _ := os.ReadFile(log.Name())
			t.Fatal(fmt.Errorf("start %s: %w\n%s", exe, err, text))
		}
	}
}
