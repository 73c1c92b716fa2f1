// Command train fits a network to a data set: a potential whose gradient carries noise to the data, or the small classifier
// whose features score sets of greyscale images.
package main

import (
	"os"

	"vapo/lib/stage"
)

func main() { os.Exit(int(stage.Main(spec, os.Args[1:], os.Stdout, os.Stderr))) }
