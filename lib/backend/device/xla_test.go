package device

import (
	"errors"
	"flag"
	"path/filepath"
	"testing"

	"vapo/lib/backend"
	"vapo/lib/backend/backendtest"
	"vapo/lib/enginename"
	"vapo/lib/failure"
)

func parse(t *testing.T, name string) enginename.Name {
	t.Helper()
	n, err := enginename.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var onBackend = flag.String("backend", "", "the engine that TestXLA must run on, such as xla:cuda")

// With -backend, the whole suite runs on that engine. Without it, no plugin is opened, even if the machine has one; the
// test only checks that a missing plugin causes an error with a hint.
func TestXLA(t *testing.T) {
	name := *onBackend
	if name == "" {
		name = "xla:" + filepath.Join(t.TempDir(), "plugin.so")
	}
	be, err := OpenXLA(parse(t, name), nil)
	if *onBackend == "" {
		var unavailable *backend.UnavailableError
		if !errors.As(err, &unavailable) || unavailable.Hint == "" {
			t.Errorf("the error is %v, want one with a hint", err)
		}
		return
	}
	if err != nil {
		t.Fatalf("%v (%s)", err, failure.HintOf(err))
	}
	t.Log(be.Describe())
	backendtest.All(t, be)
}
