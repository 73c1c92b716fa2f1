package feature

import (
	"flag"
	"maps"
	"testing"

	"vapo/lib/backend"
	"vapo/lib/engine"
	"vapo/lib/enginename"
)

var onBackend = flag.String("backend", "", "an engine that must agree with tape, such as xla:cuda")

// On the Go engine, and on the engine of -backend, the whole network gives the same features as on tape, up to
// rounding. The graph enlarges the image, as on devices, but only to 75x75 pixels, the smallest input that the network
// can process. TestInceptionAgainstPyTorch compares tape with PyTorch.
func TestInceptionOnEveryEngine(t *testing.T) {
	const side, tap = 75, 2048
	resize := &resizeGraph{how: PyTorchFID, c: 3, h: 20, w: 24, side: side}
	run := func(be backend.Backend) (features, logits []float32) {
		n, x, err := newInceptionGraph(tap, true, resize.build, 1, 3, resize.h, resize.w)
		if err != nil {
			t.Fatal(err)
		}
		weights, err := n.fold(formulaWeights(t))
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(weights, resize.matrices())
		exe, err := compileGraph(be, n.b, x, n.out, n.logits, weights)
		if err != nil {
			t.Fatal(err)
		}
		p := &compiled{rows: 1, size: 3 * resize.h * resize.w, write: resize.write, exe: exe}
		if err := p.fill(Of(patterned(1, resize.h, resize.w)), 0, 0, 1); err != nil {
			t.Fatal(err)
		}
		features, logits = make([]float32, tap), make([]float32, LogitsTap)
		out := []backend.Buffer{backend.F32(features), backend.F32(logits)}
		if err := p.exe.Run([]backend.Buffer{backend.F32(p.x)}, out); err != nil {
			t.Fatal(err)
		}
		return features, logits
	}
	features, logits := run(fastEngine(t))
	want := [][]float64{doubles(features), doubles(logits)}
	names := []engine.Name{enginename.Go}
	if *onBackend != "" {
		names = append(names, engine.Name(*onBackend))
	}
	for _, name := range names {
		be, err := engine.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		features, logits := run(be)
		if e := max(relative(features, want[0]), relative(logits, want[1])); !(e < 1e-5) {
			t.Errorf("%s: relative difference from tape %g, want below 1e-5", name, e)
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
