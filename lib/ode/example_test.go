package ode_test

import (
	"fmt"
	"log"

	"vapo/lib/ode"
)

// Three decays dx/dt = -x, integrated from t = 0 to 1 as one block. Each row has its own step size.
func ExampleAdaptive() {
	decay := func(x, _, dx []float32) error {
		for i := range x {
			dx[i] = -x[i]
		}
		return nil
	}
	rk45, err := ode.Lookup("rk45")
	if err != nil {
		log.Fatal(err)
	}
	x := []float32{1, 10, 100}
	if _, err := ode.Adaptive(rk45, decay, x, 3, 1, 0, 1, ode.Options{RTol: 1e-5, ATol: 1e-5}); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.4f %.3f %.2f\n", x[0], x[1], x[2])
	// Output: 0.3679 3.679 36.79
}
