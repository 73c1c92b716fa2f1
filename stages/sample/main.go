// Command sample draws from a trained potential: it carries Gaussian noise along the potential's gradient to data.
package main

import (
	"os"

	"vapo/lib/stage"
)

func main() { os.Exit(int(stage.Main(spec, os.Args[1:], os.Stdout, os.Stderr))) }
