package engine_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"vapo/lib/backend"
	"vapo/lib/engine"
	"vapo/lib/failure"
)

// openAs names the environment variable that makes this binary open an engine and print what came of it.
const openAs = "VAPO_ENGINE_TEST_OPEN"

func TestMain(m *testing.M) {
	if name := os.Getenv(openAs); name != "" {
		var n engine.Name
		err := n.UnmarshalText([]byte(name))
		if err == nil {
			var be backend.Backend
			if be, err = engine.Open(n); err == nil {
				os.Stdout.WriteString(be.Class() + " " + string(n) + " " + string(engine.Resolve(n)) + " | " + be.Describe())
				return
			}
		}
		os.Stdout.WriteString(err.Error() + " | " + failure.HintOf(err))
		os.Exit(int(failure.ClassOf(err)))
	}
	os.Exit(m.Run())
}

// open opens an engine in a process of its own.
func open(t *testing.T, name string) (code failure.Class, said string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe)
	c.Env = append(os.Environ(), openAs+"="+name)
	out, err := c.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return failure.Class(c.ProcessState.ExitCode()), string(out)
}

func TestOpen(t *testing.T) {
	for name, want := range map[string]string{"tape": "tape tape tape | ", "go": "compute-go compute-go compute-go | "} {
		if code, said := open(t, name); code != 0 || !strings.HasPrefix(said, want) {
			t.Errorf("%s: exit %d, %s", name, code, said)
		}
	}
	// A name of former versions is refused with today's.
	if code, said := open(t, "tape-openblas"); code == 0 || !strings.Contains(said, `called "tape" now`) {
		t.Errorf("tape-openblas: exit %d, %s", code, said)
	}
}

// What auto passed over is part of what the engine says of itself.
func TestAutoSaysWhy(t *testing.T) {
	code, said := open(t, "auto")
	if code != 0 || !strings.HasPrefix(said, "tape auto tape | ") || !strings.Contains(said, "the choice of auto: ") || !strings.Contains(said, "CUDA") {
		t.Errorf("auto: exit %d, %s", code, said)
	}
}

func TestMissingPlugin(t *testing.T) {
	for name, says := range map[string]string{"xla:cpu": "PJRT_PLUGIN_LIBRARY_PATH", "xla:/nonexistent/plugin.so,bf16": "/nonexistent/plugin.so"} {
		if code, said := open(t, name); code != failure.Resources || !strings.Contains(said, says) && !strings.Contains(said, "without cgo") {
			t.Errorf("%s: exit %d, %s", name, code, said)
		}
	}
}

// A flag is refused when it is parsed, with the names there are; what was understood is written as it is recorded.
func TestNames(t *testing.T) {
	for given, want := range map[string]engine.Name{
		"auto": "auto", "tape": "tape", "go": "compute-go", "xla:cuda": "xla-cuda", "xla:cuda,tf32": "xla-cuda-tf32",
		"xla:/opt/plugin.so": "xla:/opt/plugin.so", "xla:/opt/plugin.so,float32": "xla:/opt/plugin.so", "xla:/opt/plugin.so,bf16": "xla:/opt/plugin.so,bf16",
	} {
		var n engine.Name
		if err := n.UnmarshalText([]byte(given)); err != nil || n != want {
			t.Errorf("%s is read as %s (%v), want %s", given, n, err, want)
		}
		var again engine.Name
		if err := again.UnmarshalText([]byte(n)); err != nil || again != n {
			t.Errorf("%s is read as %s (%v) the second time", n, again, err)
		}
	}
	for _, given := range []string{"abacus", "", "xla:abacus"} {
		var n engine.Name
		if err := n.UnmarshalText([]byte(given)); err == nil || !strings.Contains(err.Error(), "tape") || !strings.Contains(err.Error(), "xla:cuda") {
			t.Errorf("%q: %v, want the names there are", given, err)
		}
		_, err := engine.Open(engine.Name(given))
		if failure.ClassOf(err) != failure.Usage {
			t.Errorf("opening %q: exit %d, %v", given, failure.ClassOf(err), err)
		}
		if got := engine.Resolve(engine.Name(given)); got != engine.Name(given) {
			t.Errorf("%q resolves to %s", given, got)
		}
	}
	for _, given := range []string{"tape,tf32", "tape,bf16", "xla:cpu,tf32"} {
		var n engine.Name
		if err := n.UnmarshalText([]byte(given)); err == nil || !strings.Contains(err.Error(), "option") {
			t.Errorf("%q: %v, want that it has no such option", given, err)
		}
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		err  error
		hint string
	}{
		{&backend.MemoryError{Need: 3 << 30, Have: 2 << 30, Batch: 40}, "a batch of about 40"},
		{&backend.MemoryError{Need: 3 << 30}, "smaller batch"},
		{&backend.UnavailableError{Class: "xla-cuda", Err: errors.New("gone"), Hint: "mend it"}, "mend it"},
	} {
		err := engine.Explain(fmt.Errorf("step 7: %w", c.err))
		if failure.ClassOf(err) != failure.Resources || !strings.Contains(failure.HintOf(err), c.hint) || !strings.Contains(err.Error(), "step 7") {
			t.Errorf("%v: exit %d, hint %q, want %q", err, failure.ClassOf(err), failure.HintOf(err), c.hint)
		}
		if again := engine.Explain(err); again != err {
			t.Errorf("explained twice: %v", again)
		}
	}
	plain := errors.New("plain")
	if engine.Explain(plain) != plain || engine.Explain(nil) != nil {
		t.Error("other errors do not stay as they are")
	}
}
