package device

import (
	"testing"

	"vapo/lib/backend"
	"vapo/lib/backend/backendtest"
	_ "vapo/lib/backend/tape" // evaluates operations for backendtest.Interpret
)

// goBackend opens the engine that runs everywhere. Its matrix products do pointer arithmetic that the race detector's
// checks refuse; it computes on one goroutine, so the detector would find nothing anyway.
func goBackend(t *testing.T) backend.Backend {
	t.Helper()
	if underRace {
		t.Skip("gomlx/compute's Go backend does not run under the race detector")
	}
	be, err := OpenGo()
	if err != nil {
		t.Fatal(err)
	}
	return be
}

func TestConformance(t *testing.T) { backendtest.All(t, goBackend(t)) }
