//go:build unix

package embedded_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vapo/lib/failure"
	"vapo/lib/objectstore"
	"vapo/lib/objectstore/embedded"
	"vapo/lib/objectstore/embedded/server"
	"vapo/lib/objectstore/objectstoretest"
)

// TestSidecar runs the suite on a store with sidecar files, as on a file system without extended attributes.
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
		t.Errorf("no sidecar files were written, error %v", err)
	}
}

func TestServeTwice(t *testing.T) {
	dir := t.TempDir()
	start(t, dir)
	err := server.Serve(t.Context(), server.Options{Dir: dir})
	if !errors.Is(err, server.ErrRunning) {
		t.Errorf("a second gateway: error %v, want ErrRunning", err)
	}
}

func TestStartFailures(t *testing.T) {
	_, _, err := embedded.Start(t.Context(), t.TempDir(), "/no/such/program")
	if !errors.Is(err, objectstore.ErrUnreachable) || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("start of a missing program: error %v, want ErrUnreachable and the program's name", err)
	}
	if _, _, err := embedded.Start(t.Context(), t.TempDir(), "/bin/false"); !errors.Is(err, objectstore.ErrUnreachable) {
		t.Errorf("start of a program that ends at once: error %v, want ErrUnreachable", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".vapo"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := embedded.Start(t.Context(), dir, os.Args[0]); failure.HintOf(err) == "" {
		t.Errorf(".vapo is a file: error %v has no hint", err)
	}
}

func TestShell(t *testing.T) {
	env := embedded.Env{
		Endpoint: "http://127.0.0.1:1", AccessKey: "a", SecretKey: `it's $HOME "x"`, Region: "us-east-1", Store: "s3://vapo",
	}
	const script = `eval "$1"
printf '%s|%s|%s|' "$AWS_ENDPOINT_URL" "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY"
printf '%s|%s|%s' "$AWS_REGION" "$VAPO_STORE" "${AWS_SESSION_TOKEN-unset}"`
	cmd := exec.Command("sh", "-c", script, "sh", env.Shell())
	cmd.Env = []string{"AWS_SESSION_TOKEN=of another store"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	if want := `http://127.0.0.1:1|a|it's $HOME "x"|us-east-1|s3://vapo|unset`; string(out) != want {
		t.Errorf("the shell has %s, want %s", out, want)
	}
}

// TestDamagedKeys: unusable access keys cause one clear error, and following its hint repairs the store.
func TestDamagedKeys(t *testing.T) {
	dir := t.TempDir()
	child, s, _ := start(t, dir)
	write(t, s, "k", "kept")
	child.Close()
	keys := filepath.Join(dir, ".vapo", "keys.json")
	for name, damage := range map[string]func() error{
		"empty":     func() error { return os.WriteFile(keys, nil, 0o600) },
		"truncated": func() error { return os.WriteFile(keys, []byte(`{"access_key":"AB`), 0o600) },
		"no secret": func() error { return os.WriteFile(keys, []byte(`{"access_key":"AB"}`), 0o600) },
		"directory": func() error { return os.Mkdir(keys, 0o700) },
		"FIFO":      func() error { return syscall.Mkfifo(keys, 0o600) },
		"dangling":  func() error { return os.Symlink("/no/such/file", keys) },
	} {
		if err := errors.Join(os.RemoveAll(keys), damage()); err != nil {
			t.Fatal(err)
		}
		_, _, err := embedded.Start(t.Context(), dir, os.Args[0])
		if failure.ClassOf(err) != failure.Store || errors.Is(err, objectstore.ErrUnreachable) ||
			!strings.Contains(err.Error(), keys) || !strings.Contains(failure.HintOf(err), "delete "+keys) {
			t.Errorf("%s: error %v, hint %q, want class store, not ErrUnreachable, %s in err and a hint to delete it",
				name, err, failure.HintOf(err), keys)
		}
	}
	if err := os.RemoveAll(keys); err != nil {
		t.Fatal(err)
	}
	_, s, _ = start(t, dir)
	if got := read(t, s, "k"); got != "kept" {
		t.Errorf("read %q, want %q", got, "kept")
	}
}

// TestLeftovers: a gateway removes what killed gateways have left behind, except uploads that may still be continued.
// It keeps only the end of a long log.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	child, s, _ := start(t, dir)
	write(t, s, "k", "kept")
	child.Close()
	base := filepath.Join(dir, ".vapo")
	temporary := filepath.Join(base, "store", "vapo", ".sgwtmp")
	for name, wantKept := range map[string]bool{
		filepath.Join(temporary, "0123.456"):                      false,
		filepath.Join(temporary, "multipart", "sum", "old", "1"):  false,
		filepath.Join(temporary, "multipart", "sum2", "new", "1"): true,
		filepath.Join(base, ".new-1"):                             false,
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if !wantKept {
			long := time.Now().Add(-48 * time.Hour)
			if err := errors.Join(os.Chtimes(name, long, long), os.Chtimes(filepath.Dir(name), long, long)); err != nil {
				t.Fatal(err)
			}
		}
		defer func() {
			if _, err := os.Lstat(name); (err == nil) != wantKept {
				t.Errorf("%s: kept %v, want %v", name, err == nil, wantKept)
			}
		}()
	}
	log := filepath.Join(base, "gateway.log")
	if err := os.WriteFile(log, bytes.Repeat([]byte("a line of the log\n"), 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	_, s, _ = start(t, dir)
	if got := read(t, s, "k"); got != "kept" {
		t.Errorf("read %q, want %q", got, "kept")
	}
	if data, err := os.ReadFile(log); err != nil || len(data) > 1<<20+4096 || len(data) < 1<<19 || data[0] != 'a' {
		t.Errorf("the log has %d bytes, error %v, want about 1 MiB of whole lines", len(data), err)
	}
}
