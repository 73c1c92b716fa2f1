// Package device runs expression graphs on gomlx/compute's backends: its own one in Go, and XLA's plugins for CUDA
// cards and other devices.
//
// One lowering (lower.go and the files beside it) turns a graph of package graphop into operations that both have.
// The Go backend runs everywhere, so the conformance suite checks the lowering wherever the tests run.
package device

import (
	"vapo/lib/backend"
)

func init() {
	backend.RegisterFamily(backend.Family{
		Names: []string{"go"},
		Class: func(name string) (string, bool, error) { return goClass, name == "go" || name == goClass, nil },
		Open:  func(string) (backend.Backend, error) { return openGo() },
	})
}
