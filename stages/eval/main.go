// Command eval measures samples against data: images by the Fréchet distance of their features, points by the sliced
// Wasserstein distance. It also scores baselines, because the distance alone is hard to interpret.
package main

import (
	"os"

	"vapo/lib/stage"
)

func main() { os.Exit(int(stage.Main(spec, os.Args[1:], os.Stdout, os.Stderr))) }
