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
)

// library compiles a C source to a shared library. Where this package has cgo, there is a C compiler.
func library(t *testing.T, source string) string {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "plugin.c"), filepath.Join(dir, "plugin.so")
	if err := os.WriteFile(in, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command("cc", "-shared", "-fPIC", "-o", out, in).CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, said)
	}
	return out
}

// Files that are no plugin, or too old a one, are refused before anything in them is called.
func TestUnfitPlugins(t *testing.T) {
	text := filepath.Join(t.TempDir(), "plugin.so")
	if err := os.WriteFile(text, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	table := `
#include <stddef.h>
static struct { size_t size; void *extension; size_t vsize; void *vextension; int major, minor; void *f[200]; } api = {%s};
void *GetPjrtApi(void) { return &api; }`
	for _, c := range []struct{ name, path, says, hint string }{
		{"no file", filepath.Join(t.TempDir(), "plugin.so"), "no library", ""},
		{"no library", text, "no library", ""},
		{"another library", library(t, "int x;"), "no plugin of XLA", ""},
		{"no table", library(t, "void *GetPjrtApi(void) { return 0; }"), "no table", ""},
		{"too old", library(t, fmt.Sprintf(table, "40 + 90*8, 0, 24, 0, 0, 33")), "PJRT 0.33", "PJRT 0.104"},
		{"another major version", library(t, fmt.Sprintf(table, "40 + 135*8, 0, 24, 0, 1, 2")), "PJRT 1.2", "PJRT 0.104"},
	} {
		_, err := backend.Open("xla:" + c.path)
		var unavailable *backend.UnavailableError
		if !errors.As(err, &unavailable) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.path) || !strings.Contains(unavailable.Hint, c.hint) {
			t.Errorf("%s: %v, want an unavailable engine, the file and %q", c.name, err, c.says)
		}
	}
}
