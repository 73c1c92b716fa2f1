// Command pipeline runs recipes: it plans, runs and caches the steps of a YAML file, each one a run of a stage program,
// over an S3-compatible store. It links no numerics. It learns a stage's parameters, inputs and outputs from the
// stage's own description, and shows what it reads from manifests and from PNG, JSON and NDJSON blobs.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
