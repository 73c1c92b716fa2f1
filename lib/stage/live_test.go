package stage

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestLocalLive(t *testing.T) {
	dir := t.TempDir()
	open := func() *localLive {
		scr := newScreen(io.Discard)
		return &localLive{dir: filepath.Join(dir, ".live", "k"), scratch: t.TempDir(), log: scr.logger(), kind: "state"}
	}
	ctx := context.Background()
	if _, ok, err := open().Load(ctx, "state"); ok || err != nil {
		t.Fatalf("state without a save: %v %v", ok, err)
	}
	for _, text := range []string{"first", strings.Repeat("second", 1<<16)} {
		write := func(w io.Writer) error { _, err := io.WriteString(w, text); return err }
		if err := open().Save(ctx, "state", write); err != nil {
			t.Fatal(err)
		}
		path, ok, err := open().Load(ctx, "state")
		if !ok || err != nil {
			t.Fatalf("%v %v", ok, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
	}
	// A failed Save keeps the earlier state. Load does not return a damaged state.
	if err := open().Save(ctx, "state", func(io.Writer) error { return syscall.ENOSPC }); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	saved := filepath.Join(dir, ".live", "k", "state")
	whole, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	for _, damage := range [][]byte{whole[:len(whole)-1], whole[:20], nil, append([]byte("x"), whole...),
		append(whole[:len(whole):len(whole)], 'x')} {
		if err := os.WriteFile(saved, damage, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := open().Load(ctx, "state"); ok || err != nil {
			t.Errorf("%d of %d bytes: ok %v, %v", len(damage), len(whole), ok, err)
		}
	}
	open().clear()
	if _, err := os.Stat(filepath.Join(dir, ".live")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("state is left: %v", err)
	}
}
