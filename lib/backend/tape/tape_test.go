package tape

import (
	"testing"

	"vapo/lib/backend"
	"vapo/lib/backend/backendtest"
)

func TestConformance(t *testing.T) { backendtest.All(t, Tape{}) }

var _ backend.Backend = Tape{}
