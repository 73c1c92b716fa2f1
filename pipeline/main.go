// Command pipeline runs recipes: it plans, runs and caches the steps of a YAML file, each one a run of a stage program,
// over an S3-compatible store. It links no numerics. What it needs of a stage comes from the stage's own description,
// and what it shows comes from manifests and from PNG, JSON and NDJSON blobs.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
