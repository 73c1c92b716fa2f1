package device

import (
	"testing"

	"vapo/lib/backend"
	"vapo/lib/backend/backendtest"
	_ "vapo/lib/backend/tape" // sets the evaluator that backendtest.Interpret needs
)

// goBackend opens the Go engine. Under the race detector it skips the test, because the detector's pointer checks
// reject the engine's matrix products. The engine computes on one goroutine, so the detector would find no races
// anyway.
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

// The same suite with bfloat16 activations.
func TestConformanceBF16(t *testing.T) {
	be := goBackend(t).(*goEngine)
	be.half = true
	backendtest.All(t, be)
}
