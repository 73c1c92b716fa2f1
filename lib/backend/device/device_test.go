package device

import (
	"testing"

	"vapo/lib/backend"
	"vapo/lib/backend/backendtest"
	_ "vapo/lib/backend/tape" // computes what backendtest.Interpret runs
)

// goBackend opens the engine that runs everywhere. Its matrix products walk through memory by addresses of their own,
// which the pointer checks that come with the race detector refuse; it computes on one goroutine here, so there is
// nothing for the detector to find.
func goBackend(t *testing.T) backend.Backend {
	t.Helper()
	if underRace {
		t.Skip("gomlx/compute's Go backend does not run under the race detector")
	}
	be, err := openGo()
	if err != nil {
		t.Fatal(err)
	}
	return be
}

func TestConformance(t *testing.T) { backendtest.All(t, goBackend(t)) }
