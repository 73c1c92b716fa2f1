// Command prep makes data sets: it reads a published one (or draws a synthetic one), checks it, and writes its training and
// test split as tensor files, with a picture and a summary to look at.
package main

import (
	"os"

	"vapo/lib/stage"
)

func main() { os.Exit(int(stage.Main(spec, os.Args[1:], os.Stdout, os.Stderr))) }
