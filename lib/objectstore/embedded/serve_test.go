package embedded_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/failure"
	"vapo/lib/objectstore"
	"vapo/lib/objectstore/embedded"
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
		t.Errorf("no sidecar files were written: %v", err)
	}
}

func TestServeTwice(t *testing.T) {
	dir := t.TempDir()
	start(t, dir)
	err := embedded.Serve(t.Context(), embedded.Options{Dir: dir})
	if !errors.Is(err, embedded.ErrRunning) {
		t.Errorf("a second gateway: %v", err)
	}
}

func TestStartFailures(t *testing.T) {
	_, _, err := embedded.Start(t.Context(), t.TempDir(), "/no/such/program")
	if !errors.Is(err, objectstore.ErrUnreachable) || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("missing program: %v", err)
	}
	if _, _, err := embedded.Start(t.Context(), t.TempDir(), "/bin/false"); !errors.Is(err, objectstore.ErrUnreachable) {
		t.Errorf("a program that ends at once: %v", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".vapo"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := embedded.Start(t.Context(), dir, os.Args[0]); failure.HintOf(err) == "" {
		t.Errorf("a file in the way: %v", err)
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
