package device

import (
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/backend/backendtest"
	_ "vapo/lib/backend/tape" // sets the evaluator that backendtest.Interpret needs
	"vapo/lib/graphop"
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

// TestConformanceBF16 runs the same suite with bfloat16 activations.
func TestConformanceBF16(t *testing.T) {
	be := goBackend(t).(*goEngine)
	be.half = true
	backendtest.All(t, be)
}

// An uploaded value can be used in one run only, and only as the input for which it was uploaded.
func TestUploadServesOneRun(t *testing.T) {
	g := gorgonia.NewGraph()
	a, b := graphop.Input(g, tensor.Float32, "a", 1), graphop.Input(g, tensor.Float32, "b", 1)
	difference := graphop.Sub(a, b)
	exe, err := goBackend(t).Compile(backend.Graph{
		Inputs: []*graphop.Node{a, b}, Outputs: []*graphop.Node{difference},
	})
	if err != nil {
		t.Fatal(err)
	}
	one, out := backend.F32([]float32{1}), backend.F32([]float32{0})
	three, err := exe.Upload(0, backend.F32([]float32{3}))
	if err != nil {
		t.Fatal(err)
	}
	run := func(a, b backend.Buffer) error { return exe.Run([]backend.Buffer{a, b}, []backend.Buffer{out}) }
	if run(one, three) == nil {
		t.Error("a value uploaded for another input was accepted")
	}
	if err := run(three, one); err != nil || out.F32[0] != 2 {
		t.Errorf("3 - 1 is %v (%v), want 2", out.F32[0], err)
	}
	if run(three, one) == nil {
		t.Error("an uploaded value was accepted twice")
	}
}
