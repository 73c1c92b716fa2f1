package backendtest

import (
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"vapo/lib/backend"
	"vapo/lib/graphop"
)

// checkDraws checks that random numbers and dropout masks have the bits that graphop.Uniform specifies, in both element
// types, for several shapes and for a key that changes from run to run.
func checkDraws(t *testing.T, be backend.Backend) {
	const rows, columns = 9, 1100 // more than one thread's share of the work
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		g := gorgonia.NewGraph()
		key := graphop.Input(g, dt, "key", 8)
		x := graphop.Input(g, dt, "x", rows, columns)
		graph := backend.Graph{Inputs: []*graphop.Node{key, x}, Outputs: []*graphop.Node{
			graphop.Uniform(key, "a", rows, columns), graphop.Uniform(key, "b", 3, 5, 7), graphop.Uniform(key, "a", 1),
			graphop.Dropout(x, key, "input_blocks.1.0.dropout", 0.3),
		}}
		exe, err := be.Compile(graph)
		if err != nil {
			t.Fatal(err)
		}
		s := StepGraph{Graph: graph, Dtype: dt}
		for _, at := range []struct{ seed, step uint64 }{
			{0, 0}, {1, 1}, {math.MaxUint64, 1 << 32}, {0x0123456789abcdef, 0xfedcba9876543210},
		} {
			k := graphop.PhiloxKey(at.seed, at.step)
			in := []backend.Buffer{
				s.buffer(key, func(i int) float64 { return k[i] }),
				s.buffer(x, func(i int) float64 { return wave(1, i) }),
			}
			got, want := s.Room(), s.Room()
			if err := exe.Run(in, got); err != nil {
				t.Fatal(err)
			}
			if err := Interpret(graph).Run(in, want); err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if !slices.Equal(got[i].F32, want[i].F32) || !slices.Equal(got[i].F64, want[i].F64) {
					t.Errorf("%v, seed %#x, step %#x: output %d differs from the reference", dt, at.seed, at.step, i)
				}
			}
		}
	}
}
