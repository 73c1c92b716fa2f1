// Command train fits a network to a data set. The network is a potential, whose gradient carries noise to the data, or
// a small classifier, whose features are used to score sets of greyscale images.
//
// Package main holds the parameters (spec.go, options.go, preset.go), the two kinds of training (potential.go,
// classifier.go) and the commands (import.go, export.go, ema.go). Package data draws the batches, package watch takes
// measurements during training, and package loop runs the training loop. Package vapo/lib/training implements a single
// training step, and package vapo/lib/homotopy the mathematics.
package main

import (
	"os"

	"vapo/lib/stage"
)

func main() { os.Exit(int(stage.Main(spec, os.Args[1:], os.Stdout, os.Stderr))) }
