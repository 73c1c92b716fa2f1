package homotopy_test

import (
	"fmt"
	"log"

	"vapo/lib/homotopy"
)

// For every schedule, the example prints the coefficients of data and noise in x_t and in dx/dt at t = 1/2.
func Example() {
	for _, name := range homotopy.Names() {
		schedule, err := homotopy.Lookup(name, 1)
		if err != nil {
			log.Fatal(err)
		}
		p := schedule.At(0.5)
		fmt.Printf("%-6s x_t = %.3f·data + %.3f·noise, dx/dt = %.2g·data + %.2g·noise\n", name, p.Mu, p.Sigma, p.DMu,
			p.DSigma)
	}
	// Output:
	// linear x_t = 0.500·data + 0.500·noise, dx/dt = 1·data + -1·noise
	// cosine x_t = 0.707·data + 0.707·noise, dx/dt = 1.1·data + -1.1·noise
	// vapo   x_t = 1.000·data + 0.014·noise, dx/dt = 0.0004·data + -0.014·noise
	// vp     x_t = 0.281·data + 0.960·noise, dx/dt = 1.4·data + -0.41·noise
}
