//go:build unix

package embedded_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vapo/lib/failure"
	"vapo/lib/objectstore"
	"vapo/lib/objectstore/embedded"
)

// TestLinksAreNotFollowed: a symbolic link among the stored objects is not followed, and a FIFO does not block the
// gateway.
func TestLinksAreNotFollowed(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	_, s, _ := start(t, dir)
	write(t, s, "a/kept", "kept")
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	objects := filepath.Join(dir, ".vapo", "store", "vapo")
	if err := errors.Join(os.Symlink(secret, filepath.Join(objects, "a", "file")),
		os.Symlink(outside, filepath.Join(objects, "a", "dir")),
		syscall.Mkfifo(filepath.Join(objects, "a", "fifo"), 0o600)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, key := range []string{"a/file", "a/dir/secret", "a/fifo"} {
		r, _, err := s.Get(ctx, key)
		if err == nil {
			r.Close()
		}
		wantRefused(t, "get "+key, err)
		if _, err := s.Head(ctx, key); err == nil {
			t.Errorf("head %s succeeds, want an error", key)
		}
		_, err = s.Put(ctx, key, strings.NewReader("v"), 1, objectstore.PutOptions{})
		wantRefused(t, "put "+key, err)
		wantRefused(t, "delete "+key, s.Delete(ctx, key))
		_, err = s.DeleteUnchanged(ctx, []objectstore.Info{{Key: key}}, time.Now())
		wantRefused(t, "DeleteUnchanged "+key, err)
	}
	_, err := s.Put(ctx, "a/dir/new", strings.NewReader("v"), 1, objectstore.PutOptions{})
	wantRefused(t, "put a/dir/new", err)
	var keys []string
	for info, err := range s.List(ctx, "a/") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	t.Log(keys)
	if text := strings.Join(keys, " "); !strings.Contains(text, "a/kept") || strings.Contains(text, "secret") {
		t.Errorf("the list is %s, want a/kept and nothing from outside", text)
	}
	if data, err := os.ReadFile(secret); err != nil || string(data) != "secret" {
		t.Errorf("the file outside contains %q, error %v, want %q", data, err, "secret")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("the directory outside contains %v, error %v, want only the file secret", entries, err)
	}
}

func wantRefused(t *testing.T, what string, err error) {
	t.Helper()
	if failure.ClassOf(err) != failure.Store || !strings.Contains(err.Error(), "neither a file nor a directory") {
		t.Errorf("%s: error %v, want class store and \"neither a file nor a directory\"", what, err)
	}
}

// TestSpecialFilesOfTheGateway: if a FIFO or a directory is in the place of one of the gateway's files, Start fails and
// names it.
func TestSpecialFilesOfTheGateway(t *testing.T) {
	for _, name := range []string{"gateway.log", "gateway.lock", "users.lock", "keys.json", "gateway.json"} {
		for kind, create := range map[string]func(path string) error{
			"a FIFO":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
			"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
		} {
			dir := t.TempDir()
			path := filepath.Join(dir, ".vapo", name)
			if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), create(path)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			child, _, err := embedded.Start(ctx, dir, os.Args[0])
			if err == nil {
				child.Close()
			}
			if ctx.Err() != nil || failure.ClassOf(err) != failure.Store || !strings.Contains(err.Error(), name) ||
				failure.HintOf(err) == "" {
				t.Errorf("%s is %s: error %v, hint %q, context %v, want class store, the name, a hint and no timeout",
					name, kind, err, failure.HintOf(err), ctx.Err())
			}
			cancel()
		}
	}
}
