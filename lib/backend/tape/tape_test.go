package tape

import (
	"testing"

	"vapo/lib/backend"
	"vapo/lib/backend/backendtest"
)

func backends(t testing.TB) []*Tape {
	var out []*Tape
	for _, l := range []string{"go", "openblas"} {
		b, err := New(l)
		if err != nil {
			t.Logf("without %s: %v", l, err)
			continue
		}
		out = append(out, b)
	}
	return out
}

func TestConformance(t *testing.T) {
	for _, b := range backends(t) {
		t.Run(b.Class(), func(t *testing.T) { backendtest.All(t, b) })
	}
}

var _ backend.Backend = (*Tape)(nil)
