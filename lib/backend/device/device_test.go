package device

import (
	"testing"

	"vapo/lib/backend/backendtest"
)

func TestConformance(t *testing.T) {
	be, err := openGo()
	if err != nil {
		t.Fatal(err)
	}
	backendtest.All(t, be)
}
