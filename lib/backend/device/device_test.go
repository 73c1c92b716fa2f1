package device

import (
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"vapo/lib/backend"
	"vapo/lib/backend/backendtest"
	"vapo/lib/graphop"
)

func TestConformance(t *testing.T) {
	be, err := openGo()
	if err != nil {
		t.Fatal(err)
	}
	backendtest.All(t, be)
}

// Draws are the same bits on every engine and in both element types.
func TestUniformIsTheSameEverywhere(t *testing.T) {
	be, err := openGo()
	if err != nil {
		t.Fatal(err)
	}
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		for _, shape := range [][]int{{1}, {3}, {4}, {7, 11}, {2, 3, 5, 7}} {
			g := gorgonia.NewGraph()
			key := graphop.Input(g, dt, "key", 8)
			u := graphop.Uniform(key, "layer.3", shape...)
			graph := backend.Graph{Inputs: []*graphop.Node{key}, Outputs: []*graphop.Node{u}}
			exe, err := be.Compile(graph)
			if err != nil {
				t.Fatal(err)
			}
			k := graphop.PhiloxKey(0xfedcba9876543210, 0x89abcdef01234567)
			in, got, want := buffer64(dt, k[:]), buffer64(dt, make([]float64, u.Shape().TotalSize())), buffer64(dt, make([]float64, u.Shape().TotalSize()))
			if err := exe.Run([]backend.Buffer{in}, []backend.Buffer{got}); err != nil {
				t.Fatal(err)
			}
			if err := backendtest.Interpret(graph).Run([]backend.Buffer{in}, []backend.Buffer{want}); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.F32, want.F32) || !slices.Equal(got.F64, want.F64) {
				t.Errorf("%v %v: %v, want %v", dt, shape, got, want)
			}
		}
	}
}

// buffer64 is a buffer of an element type with the given values.
func buffer64(dt tensor.Dtype, v []float64) backend.Buffer {
	if dt == tensor.Float64 {
		return backend.F64(v)
	}
	b := make([]float32, len(v))
	for i, x := range v {
		b[i] = float32(x)
	}
	return backend.F32(b)
}
