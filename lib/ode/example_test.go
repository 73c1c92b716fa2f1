package ode_test

import (
	"context"
	"fmt"
	"log"

	"vapo/lib/backend"
	"vapo/lib/backend/tape"
	"vapo/lib/graphop"
	"vapo/lib/ode"
)

// The example integrates three decays dx/dt = -x from t = 0 to 1 as one block. Each row has its own step length.
func Example() {
	decay := func(x, _ *graphop.Node) (*graphop.Node, []backend.State, error) { return graphop.Neg(x), nil, nil }
	options := &ode.Adaptive{RTol: 1e-5, ATol: 1e-5, MaxSteps: 100}
	solver, err := ode.Compile(tape.Tape{}, ode.RK45, decay, 3, 1, options)
	if err != nil {
		log.Fatal(err)
	}
	x := []float32{1, 10, 100}
	if _, err := solver.Integrate(context.Background(), x, 0, 1, 0); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.4f %.3f %.2f\n", x[0], x[1], x[2])
	// Output: 0.3679 3.679 36.79
}
