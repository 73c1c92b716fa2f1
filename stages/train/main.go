// Command train fits a network to a data set: a potential whose gradient carries noise to the data, or the small
// classifier whose features score sets of greyscale images.
//
// This package is the program: its parameters (spec.go, options.go, preset.go), what it trains (potential.go,
// classifier.go) and its commands (import.go, export.go). Package data draws the batches, package watch observes the
// network, and package loop trains it. The training step itself is vapo/lib/training, the mathematics
// vapo/lib/homotopy.
package main

import (
	"os"

	"vapo/lib/stage"
)

func main() { os.Exit(int(stage.Main(spec, os.Args[1:], os.Stdout, os.Stderr))) }
