// Command prep prepares a data set. It reads the set from files or draws it, validates it, and writes its training and
// test splits as tensor files, with a picture and a summary for people.
package main

import (
	"os"

	"vapo/lib/stage"
)

func main() { os.Exit(int(stage.Main(spec, os.Args[1:], os.Stdout, os.Stderr))) }
