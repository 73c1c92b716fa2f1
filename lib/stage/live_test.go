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
		t.Fatalf("Load before Save: ok %v, error %v, want false", ok, err)
	}
	for _, text := range []string{"first", strings.Repeat("second", 1<<16)} {
		write := func(w io.Writer) error { _, err := io.WriteString(w, text); return err }
		if err := open().Save(ctx, "state", write); err != nil {
			t.Fatal(err)
		}
		path, ok, err := open().Load(ctx, "state")
		if !ok || err != nil {
			t.Fatalf("Load after Save: ok %v, error %v, want true", ok, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Fatalf("the loaded state has %d bytes, error %v, want the %d bytes saved", len(got), err, len(text))
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
			t.Errorf("Load of %d damaged bytes, formerly %d: ok %v, error %v, want false", len(damage), len(whole), ok, err)
		}
	}
	open().clear()
	if _, err := os.Stat(filepath.Join(dir, ".live")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stat of .live after clear: error %v, want os.ErrNotExist", err)
	}
}
