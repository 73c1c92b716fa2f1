package engine_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"vapo/lib/engine"
	"vapo/lib/stage"
)

// openAs names the environment variable that makes this binary open an engine and print what came of it.
const openAs = "VAPO_ENGINE_TEST_OPEN"

func TestMain(m *testing.M) {
	if name := os.Getenv(openAs); name != "" {
		be, err := engine.Open(name)
		if err == nil {
			os.Stdout.WriteString(be.Class() + " " + engine.Resolve(name))
			return
		}
		os.Stdout.WriteString(err.Error() + " | " + stage.Hint(err))
		os.Exit(stage.ExitCode(err))
	}
	os.Exit(m.Run())
}

// open opens an engine in a process that finds no OpenBLAS.
func open(t *testing.T, name string) (code int, said string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe)
	c.Env = append(os.Environ(), openAs+"="+name, "VAPO_OPENBLAS=/nonexistent/libopenblas.so")
	out, err := c.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(out)
}

func TestWithoutOpenBLAS(t *testing.T) {
	if code, said := open(t, "auto"); code != 0 || said != "tape-go tape-go" {
		t.Errorf("auto: exit %d, %s", code, said)
	}
	if code, said := open(t, "tape-openblas"); code != stage.ExitResources || !strings.Contains(said, "libopenblas0-pthread") {
		t.Errorf("tape-openblas: exit %d, %s", code, said)
	}
}

func TestUnknown(t *testing.T) {
	_, err := engine.Open("abacus")
	if stage.ExitCode(err) != stage.ExitUsage || !strings.Contains(err.Error(), "tape-go") {
		t.Errorf("an unknown engine: exit %d, %v", stage.ExitCode(err), err)
	}
	if got := engine.Resolve("abacus"); got != "abacus" {
		t.Errorf("an unknown engine resolves to %s", got)
	}
}
