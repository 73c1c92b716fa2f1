// Package objectstoretest starts real stores for tests and has the conformance suite that every store must pass.
//
// Nothing is mocked. Tests run against the embedded gateway and, if a MinIO server is installed, also against MinIO as
// an independent second implementation. A package that uses [Embedded] needs a TestMain that calls [Main], because the
// gateway runs as a second process of the test binary.
package objectstoretest

import (
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"vapo/lib/objectstore"
	"vapo/lib/objectstore/embedded"
	"vapo/lib/objectstore/embedded/server"
)

var servers struct {
	sync.Mutex
	dir     string
	gateway *embedded.Child
	env     embedded.Env
	minio   []*exec.Cmd
	second  *embedded.Env       // of MinIO
	secure  *objectstore.Config // of MinIO with TLS
}

// Main runs a package's tests. Call it from TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(objectstoretest.Main(m)) }
func Main(m *testing.M) int {
	if code, ran := server.RunChild(); ran {
		return code
	}
	code := m.Run()
	servers.Lock()
	defer servers.Unlock()
	if servers.gateway != nil {
		servers.gateway.Close()
	}
	for _, cmd := range servers.minio {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
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
