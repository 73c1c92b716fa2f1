package device

import (
	"errors"
	"flag"
	"testing"

	"vapo/lib/backend"
	"vapo/lib/backend/backendtest"
	"vapo/lib/enginename"
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

// If there is a plugin, the whole suite runs on it; if not, the error says what to install.
func TestXLA(t *testing.T) {
	names := []string{"xla:cuda", "xla:cpu"}
	if *onBackend != "" {
		names = []string{*onBackend}
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			be, err := OpenXLA(parse(t, name))
			if err == nil {
				t.Log(be.Describe())
				backendtest.All(t, be)
				return
			}
			var unavailable *backend.UnavailableError
			if !errors.As(err, &unavailable) || unavailable.Hint == "" {
				t.Errorf("the error is %v, want one that says what to install", err)
			}
			if *onBackend != "" {
				t.Fatalf("%v (%s)", err, unavailable.Hint)
			}
			t.Log(err)
		})
	}
}
