package device

import (
	"errors"
	"flag"
	"testing"

	"vapo/lib/backend"
	"vapo/lib/backend/backendtest"
)

var onBackend = flag.String("backend", "", "the engine that TestXLA must find and run the suite on, such as xla:cuda")

// Where there is a plugin, the whole suite runs on it; where there is none, the engine says so and what to do.
func TestXLA(t *testing.T) {
	names := []string{"xla:cuda", "xla:cpu"}
	if *onBackend != "" {
		names = []string{*onBackend}
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			be, err := backend.Open(name)
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
