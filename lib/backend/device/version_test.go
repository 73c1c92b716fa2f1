//go:build cgo && linux

package device

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/backend"
	"vapo/lib/enginename"
	"vapo/lib/failure"
)

// library compiles C source to a shared library. A C compiler is available, because the build constraint requires cgo.
func library(t *testing.T, source string) string {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "plugin.c"), filepath.Join(dir, "plugin.so")
	if err := os.WriteFile(in, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.Command("cc", "-shared", "-fPIC", "-o", out, in).CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, output)
	}
	return out
}

// Files that are not plugins are refused, and so are plugins that are too old or have another major version. No
// function in a refused plugin's table is called.
func TestUnfitPlugins(t *testing.T) {
	text := filepath.Join(t.TempDir(), "plugin.so")
	if err := os.WriteFile(text, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	table := `
#include <stddef.h>
static struct {
	size_t size; void *extension; size_t vsize; void *vextension; int major, minor; void *f[200];
} api = {%s};
void *GetPjrtApi(void) { return &api; }`
	for _, c := range []struct{ name, path, message, hint string }{
		{"no file", filepath.Join(t.TempDir(), "plugin.so"), "opened as a library", "check the path"},
		{"no library", text, "opened as a library", "a PJRT plugin"},
		{"another library", library(t, "int x;"), "not an XLA plugin", "a PJRT plugin"},
		{"no table", library(t, "void *GetPjrtApi(void) { return 0; }"), "no table", "a PJRT plugin"},
		{"too old", library(t, fmt.Sprintf(table, "40 + 90*8, 0, 24, 0, 0, 33")), "PJRT 0.33", "PJRT 0.104"},
		{"another major version", library(t, fmt.Sprintf(table, "40 + 135*8, 0, 24, 0, 1, 2")), "PJRT 1.2", "PJRT 0.104"},
	} {
		_, err := OpenXLA(parse(t, "xla:"+c.path), nil)
		var unavailable *backend.UnavailableError
		if !errors.As(err, &unavailable) {
			t.Errorf("%s: %v, want an unavailable engine", c.name, err)
			continue
		}
		message := err.Error()
		if !strings.Contains(message, c.message) || !strings.Contains(message, c.path) {
			t.Errorf("%s: error is %v, want one that names the file and contains %q", c.name, err, c.message)
		}
		if !strings.Contains(unavailable.Hint, c.hint) {
			t.Errorf("%s: the hint is %q, want %q", c.name, unavailable.Hint, c.hint)
		}
	}
}

// The error for an engine whose plugin is missing says what to install.
func TestMissingPlugin(t *testing.T) {
	for name, hint := range map[string]string{"xla:cuda": "pip install", "xla:cpu": "pjrt_c_api_cpu_plugin.so"} {
		err := missing(parse(t, name))
		if failure.ClassOf(err) != failure.Resources || !strings.Contains(failure.HintOf(err), hint) ||
			!strings.Contains(err.Error(), enginename.PluginPath) {
			t.Errorf("%s: %v (%s), want an error of class resources that names %s, and a hint with %q",
				name, err, failure.HintOf(err), enginename.PluginPath, hint)
		}
	}
}
