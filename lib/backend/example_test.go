package backend_test

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/backend/tape"
	"vapo/lib/graphop"
)

// A training step that fits y = w·x by gradient descent. The weight stays in the engine from step to step.
func Example() {
	g := gorgonia.NewGraph()
	x := graphop.Input(g, tensor.Float32, "x", 3, 1)
	y := graphop.Input(g, tensor.Float32, "y", 3, 1)
	w := graphop.Input(g, tensor.Float32, "w", 1, 1)
	loss := graphop.Mean(graphop.Square(graphop.Sub(graphop.MatMul(x, w, false, false), y)))
	gradient, err := graphop.Grad(loss, w)
	if err != nil {
		panic(err)
	}
	exe, err := tape.Tape{}.Compile(backend.Graph{
		Inputs:  []*graphop.Node{x, y},
		State:   []backend.State{{In: w, Out: graphop.Sub(w, graphop.Scale(gradient[0], 0.1))}},
		Outputs: []*graphop.Node{loss},
	})
	if err != nil {
		panic(err)
	}
	in := []backend.Buffer{backend.F32([]float32{1, 2, 3}), backend.F32([]float32{2, 4, 6})}
	value := make([]float32, 1)
	for range 4 {
		if err := exe.Run(in, []backend.Buffer{backend.F32(value)}); err != nil {
			panic(err)
		}
		fmt.Printf("loss %.4f\n", value[0])
	}
	if err := exe.Store("w", backend.F32(value)); err != nil {
		panic(err)
	}
	fmt.Printf("w %.3f\n", value[0])
	// Output:
	// loss 18.6667
	// loss 0.0830
	// loss 0.0004
	// loss 0.0000
	// w 2.000
}
