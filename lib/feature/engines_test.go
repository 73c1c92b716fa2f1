package feature

import (
	"errors"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	_ "vapo/lib/backend/device"
	"vapo/lib/checkpoint"
	"vapo/lib/graphop"
	"vapo/lib/layer"
)

// The whole network, on images of the least size that it can look at, gives the same on every engine that this machine
// has. The first is held to PyTorch's numbers by TestInceptionAgainstPyTorch.
func TestInceptionOnEveryEngine(t *testing.T) {
	const side, tap = 75, 2048
	run := func(be backend.Backend) (features, logits []float32) {
		n := &inception{b: &layer.Builder{Graph: gorgonia.NewGraph(), Dtype: tensor.Float32}, tap: tap, deep: true}
		var x *graphop.Node
		if err := graphop.Build(func() {
			x = graphop.Input(n.b.Graph, n.b.Dtype, "x", 1, 3, side, side)
			n.build(x)
		}); err != nil {
			t.Fatal(err)
		}
		weights, err := n.fold(formulaWeights(t))
		if err != nil {
			t.Fatal(err)
		}
		g := backend.Graph{Inputs: []*graphop.Node{x}, Outputs: []*graphop.Node{n.out, n.logits}}
		for _, p := range n.b.Params {
			g.State = append(g.State, backend.State{In: p.Node})
		}
		exe, err := be.Compile(g)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range n.b.Params {
			if err := exe.Load(checkpoint.Param+p.Name, backend.F32(weights[p.Name])); err != nil {
				t.Fatal(err)
			}
		}
		in := make([]float32, 3*side*side)
		Scale(in, patterned(1, side, side).Pixels)
		features, logits = make([]float32, tap), make([]float32, LogitsTap)
		if err := exe.Run([]backend.Buffer{backend.F32(in)}, []backend.Buffer{backend.F32(features), backend.F32(logits)}); err != nil {
			t.Fatal(err)
		}
		return features, logits
	}
	features, logits := run(fastEngine(t))
	want := [][]float64{doubles(features), doubles(logits)}
	for _, name := range []string{"compute-go", "xla:cpu", "xla:cuda"} {
		be, err := backend.Open(name)
		var unavailable *backend.UnavailableError
		if errors.As(err, &unavailable) {
			t.Logf("%s is not here: %v", name, err)
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
