// Command sample draws samples from a trained potential by integrating its gradient from Gaussian noise to data.
package main

import (
	"os"

	"vapo/lib/stage"
)

func main() { os.Exit(int(stage.Main(spec, os.Args[1:], os.Stdout, os.Stderr))) }
