package engine_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"vapo/lib/backend"
	"vapo/lib/contract"
	"vapo/lib/engine"
	"vapo/lib/enginename"
	"vapo/lib/failure"
)

// openAs is the name of the environment variable that makes this binary open an engine and print the result.
const openAs = "VAPO_ENGINE_TEST_OPEN"

func TestMain(m *testing.M) {
	name := os.Getenv(openAs)
	if name == "" {
		os.Exit(m.Run())
	}
	var n engine.Name
	err := n.UnmarshalText([]byte(name))
	if err == nil {
		var be backend.Backend
		if be, err = engine.Open(n); err == nil {
			fmt.Printf("%s %s | %s", be.Class(), n, be.Describe())
			return
		}
	}
	fmt.Printf("%v | %s", err, failure.HintOf(err))
	os.Exit(int(failure.ClassOf(err)))
}

// open opens an engine in a separate process.
func open(t *testing.T, name string) (code failure.Class, output string) {
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
	for name, want := range map[string]string{"tape": "tape tape | tape, ", "go": "compute-go compute-go | "} {
		if code, output := open(t, name); code != failure.OK || !strings.HasPrefix(output, want) {
			t.Errorf("%s: exit %d with output %q, want 0 and output that begins with %q", name, code, output, want)
		}
	}
	if code, output := open(t, "rocket"); code != failure.Usage || !strings.Contains(output, enginename.Names) {
		t.Errorf("rocket: exit %d with output %q, want 2 and the names of the engines", code, output)
	}
}

// The description of the engine that auto chose contains the reason.
func TestAutoGivesReason(t *testing.T) {
	code, output := open(t, "auto")
	if code != failure.OK || !strings.HasPrefix(output, "tape auto | ") ||
		!strings.Contains(output, "the choice of auto: ") || !strings.Contains(output, "CUDA") {
		t.Errorf("auto: exit %d with output %q, want 0, the engine tape, and a reason that mentions CUDA", code, output)
	}
	// A stage replaces "auto" by the class before it opens the engine.
	be, err := engine.Open(engine.Auto(enginename.Auto))
	if err != nil || !strings.Contains(be.Describe(), "the choice of auto: ") {
		t.Errorf("the class that auto stands for opens %v (%v), want the reason in the description", be, err)
	}
}

func TestMissingPlugin(t *testing.T) {
	const path = "/nonexistent/plugin.so"
	code, output := open(t, "xla:"+path+",bf16")
	if code != failure.Resources || !strings.Contains(output, path) && !strings.Contains(output, "without XLA") {
		t.Errorf("exit %d with output %q, want 7 and the plugin's path, or that vapo was built without XLA", code, output)
	}
}

// A flag value is parsed to the normal form of the engine's name. A run is keyed by the class of that name.
func TestNames(t *testing.T) {
	for given, want := range map[string]struct {
		name  engine.Name
		class string
	}{
		"auto": {"auto", "auto"}, "tape": {"tape", "tape"}, "go": {"compute-go", "compute-go"},
		"xla:cuda,tf32":              {"xla-cuda-tf32", "xla-cuda-tf32"},
		"xla:/opt/plugin.so,float32": {"xla:/opt/plugin.so", "xla-plugin"},
		"xla:/opt/plugin.so,bf16":    {"xla:/opt/plugin.so,bf16", "xla-plugin-bfloat16"},
	} {
		var n engine.Name
		if err := n.UnmarshalText([]byte(given)); err != nil || n != want.name {
			t.Errorf("%s is parsed to %s (%v), want %s", given, n, err, want.name)
		}
		d := contract.Description{Params: []contract.Param{{Name: "backend", Keyed: true}}}
		if a := d.Action(map[string]any{"backend": string(n)}, nil); a.Backend != want.class {
			t.Errorf("a run with --backend=%s is keyed by %s, want %s", given, a.Backend, want.class)
		}
	}
	for _, given := range []string{"abacus", "", "xla:abacus", "tape,tf32"} {
		var n engine.Name
		if err := n.UnmarshalText([]byte(given)); failure.ClassOf(err) != failure.Usage {
			t.Errorf("parsing %q: error %v of class %v, want a usage error", given, err, failure.ClassOf(err))
		}
		if _, err := engine.Open(engine.Name(given)); failure.ClassOf(err) != failure.Usage {
			t.Errorf("opening %q: error %v of class %v, want a usage error", given, err, failure.ClassOf(err))
		}
	}
}
