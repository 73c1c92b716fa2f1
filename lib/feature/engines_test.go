package feature

import (
	"errors"
	"testing"

	"vapo/lib/backend"
	_ "vapo/lib/backend/device"
	"vapo/lib/dataset"
)

// The whole network, on images of the smallest size that it can process, gives the same features on every engine that
// this machine has. TestInceptionAgainstPyTorch compares the first engine with PyTorch.
func TestInceptionOnEveryEngine(t *testing.T) {
	const side, tap = 75, 2048
	run := func(be backend.Backend) (features, logits []float32) {
		n, x, err := newInceptionGraph(tap, true, 1, side)
		if err != nil {
			t.Fatal(err)
		}
		weights, err := n.fold(formulaWeights(t))
		if err != nil {
			t.Fatal(err)
		}
		net, err := newNetwork(be, "", n.b, x, n.out, n.logits, weights, nil)
		if err != nil {
			t.Fatal(err)
		}
		dataset.Normalize(net.x, patterned(1, side, side).Pixels)
		out := []backend.Buffer{backend.F32(net.features), backend.F32(net.logits)}
		if err := net.exe.Run([]backend.Buffer{backend.F32(net.x)}, out); err != nil {
			t.Fatal(err)
		}
		return net.features, net.logits
	}
	features, logits := run(fastEngine(t))
	want := [][]float64{doubles(features), doubles(logits)}
	for _, name := range []string{"compute-go", "xla:cpu", "xla:cuda"} {
		be, err := backend.Open(name)
		var unavailable *backend.UnavailableError
		if errors.As(err, &unavailable) {
			t.Logf("skipped %s: %v", name, err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		features, logits := run(be)
		if e := max(relative(features, want[0]), relative(logits, want[1])); !(e < 1e-5) {
			t.Errorf("%s: relative difference %g", name, e)
		} else {
			t.Logf("%s: relative difference %.1g", name, e)
		}
	}
}

func doubles(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}
