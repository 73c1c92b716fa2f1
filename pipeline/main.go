// Command pipeline runs recipes. A recipe is a YAML file whose steps each run a stage program; pipeline plans the
// steps, runs them, and caches their results in an S3-compatible store. It contains no numerics. It reads the
// parameters, inputs and outputs of a stage from the stage's own description, and displays results from manifests and
// from PNG, JSON and NDJSON blobs.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
