// Command pipeline runs recipes: it plans, runs and caches the steps a YAML
// file names, each a stage program of its own, over an S3-compatible store.
//
// It links no numerics. Everything it knows about a stage it asks the stage's program; everything it shows comes from
// manifests and from PNG, JSON and NDJSON blobs.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
