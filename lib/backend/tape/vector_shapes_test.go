package tape

import (
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"vapo/lib/backend"
	"vapo/lib/graphop"
)

// Gorgonia's Shape.Eq considers [3], [1 3] and [3 1] equal. Nodes of these shapes must not be mixed up.
func TestVectorsOfDifferentRank(t *testing.T) {
	g := gorgonia.NewGraph()
	var in, out []*graphop.Node
	for _, s := range [][]int{{3}, {1, 3}, {3, 1}, {1, 1, 3}} {
		x := graphop.Input(g, tensor.Float32, string(rune('a'+len(in))), s...)
		in, out = append(in, x), append(out, graphop.Mul(x, x))
	}
	exe, err := Tape{}.Compile(backend.Graph{Inputs: in, Outputs: out})
	if err != nil {
		t.Fatal(err)
	}
	var feed, got []backend.Buffer
	for i := range in {
		k := float32(10 * i)
		feed, got = append(feed, backend.F32([]float32{k + 1, k + 2, k + 3})), append(got, backend.F32(make([]float32, 3)))
	}
	if err := exe.Run(feed, got); err != nil {
		t.Fatal(err)
	}
	for i := range got {
		for k, v := range feed[i].F32 {
			if got[i].F32[k] != v*v {
				t.Errorf("the squares of %v, of shape %v, are %v", feed[i].F32, in[i].Shape(), got[i].F32)
				break
			}
		}
	}
}
