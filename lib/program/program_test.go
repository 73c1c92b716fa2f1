package program

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

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
		t.Errorf("after a failed write: read %q, error %v, want %q", got, err, "whole")
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("the directory has %d files, error %v, want 1", len(files), err)
	}
}

func TestPrintError(t *testing.T) {
	var b strings.Builder
	printError(&b, "demo", failure.New(failure.Input, "look\nat it", "bad\x1b[31m\nfile"))
	if got, want := b.String(), "demo: error: bad[31m; file\nhint: look; at it\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLifetime(t *testing.T) {
	ctx, stop := Lifetime()
	defer stop()
	if err := terminate(); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if !errors.Is(context.Cause(ctx), failure.ErrTerminated) {
		t.Errorf("the context ended with %v, want ErrTerminated", context.Cause(ctx))
	}
	if err := terminate(); err != nil { // within a second of the first, so it does not end this process
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
}

func TestScratch(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dir, remove, err := Scratch()
	if err != nil {
		t.Fatal(err)
	}
	remove()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stat of %s after its removal: error %v, want os.ErrNotExist", dir, err)
	}
	t.Setenv("TMPDIR", "/nowhere")
	if _, _, err := Scratch(); failure.ClassOf(err) != failure.Resources {
		t.Errorf("no directory for temporary files: error %v, want class resources", err)
	}
}

func TestMemoryLimit(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(100 << 10))
	if got := MemoryLimit(); got != 100<<10 {
		t.Errorf("with a limit of 102400 bytes, MemoryLimit returns %d", got)
	}
	for text, want := range map[string]int64{
		"MemTotal:  100 kB\nMemAvailable:      77 kB\n": 77 << 10, "MemTotal: 100 kB\n": 0, "MemAvailable: x kB\n": 0,
	} {
		if got := available(strings.NewReader(text)); got != want {
			t.Errorf("%q: %d bytes, want %d", text, got, want)
		}
	}
}

func TestSupported(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", runtime.GOOS} {
		if err := supported(goos); err != nil {
			t.Errorf("%s: error %v, want none", goos, err)
		}
	}
	err := supported("windows")
	if failure.ClassOf(err) != failure.Usage || !strings.Contains(failure.HintOf(err), "WSL") {
		t.Errorf("Windows: error %v, hint %q, want class usage and a hint about WSL", err, failure.HintOf(err))
	}
}

func TestVersion(t *testing.T) {
	where := " for " + runtime.GOOS + "/" + runtime.GOARCH
	plain := map[string]string{"go": "go1.26"}
	changed := map[string]string{"go": "go1.26", "revision": "abc", "modified": "true"}
	for got, want := range map[string]string{
		versionText("demo", "(devel)", plain, nil): "demo of vapo (devel)\nbuilt with go1.26" + where,
		versionText("demo", "v1.2.3", changed, []string{"tape", "go"}): "demo of vapo v1.2.3, commit abc with changes\n" +
			"built with go1.26" + where + "\nengines: tape, go",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := version("demo"); !strings.Contains(got, runtime.Version()) {
		t.Errorf("the version is %q, want one with %s", got, runtime.Version())
	}
}

func terminate() error {
	p, err := os.FindProcess(os.Getpid())
	if err != nil {
		return err
	}
	return p.Signal(syscall.SIGTERM)
}
