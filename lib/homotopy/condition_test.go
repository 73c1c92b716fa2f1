package homotopy_test

import (
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/backend/tape"
	"vapo/lib/graphop"
	"vapo/lib/homotopy"
)

// ConditionAt in a graph agrees with Condition on the host, over the span of every schedule and for several end times.
func TestConditionAt(t *testing.T) {
	const n = 501
	for _, name := range homotopy.Names() {
		for _, end := range []float64{1, 0.4, 7} {
			s := lookup(t, name, 1.3)
			if end <= 1 || name == "vapo" {
				var err error
				if s, err = homotopy.Until(s, end); err != nil {
					t.Fatal(err)
				}
			}
			g := gorgonia.NewGraph()
			in := graphop.Input(g, tensor.Float32, "s", n, 1)
			graph := backend.Graph{Inputs: []*graphop.Node{in}}
			graph.Outputs = []*graphop.Node{graphop.Affine(s.ConditionAt(in), 2, 0)}
			exe, err := tape.Tape{}.Compile(graph)
			if err != nil {
				t.Fatal(err)
			}
			from, to := s.Span()
			at, got := make([]float32, n), make([]float32, n)
			for i := range at {
				at[i] = float32(from + (to-from)*float64(i)/(n-1))
			}
			if err := exe.Run([]backend.Buffer{backend.F32(at)}, []backend.Buffer{backend.F32(got)}); err != nil {
				t.Fatal(err)
			}
			for i, v := range at {
				time, _ := s.Time(float64(v))
				if want := s.Condition(time); !(math.Abs(float64(got[i])/2-want) < 2e-7) {
					t.Fatalf("%s to %v at s = %v: condition %v, want %v", name, end, v, got[i]/2, want)
				}
			}
		}
	}
}
