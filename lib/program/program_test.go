package program

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"vapo/lib/failure"
)

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	write := func(text string, err error) error {
		return WriteFile(path, func(w io.Writer) error {
			_, werr := io.WriteString(w, text)
			return errors.Join(werr, err)
		})
	}
	if err := write("whole", nil); err != nil {
		t.Fatal(err)
	}
	if err := write("half", io.ErrUnexpectedEOF); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "whole" {
		t.Errorf("%q, %v", got, err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%d files are left, %v", len(files), err)
	}
}

func TestPrintError(t *testing.T) {
	var b strings.Builder
	PrintError(&b, "demo", failure.New(failure.Input, "look\nat it", "bad\x1b[31m\nfile"))
	if got, want := b.String(), "demo: error: bad[31m; file\nhint: look; at it\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLifetime(t *testing.T) {
	ctx, stop := Lifetime()
	defer stop()
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if !errors.Is(context.Cause(ctx), failure.ErrTerminated) {
		t.Error(context.Cause(ctx))
	}
}

func TestScratch(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dir, remove, err := Scratch()
	if err != nil {
		t.Fatal(err)
	}
	remove()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left", dir)
	}
	t.Setenv("TMPDIR", "/nowhere")
	if _, _, err := Scratch(); failure.ClassOf(err) != failure.Resources {
		t.Errorf("no directory for temporary files: %v", err)
	}
}
