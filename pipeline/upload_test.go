package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Local files are uploaded before the first step runs, even if only a later step needs them.
func TestUpload(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("r.yaml", "name: r\nsteps:\n  one: {stage: toy}\n"+
		"  two: {stage: toy, inputs: {data: ./large.json}, params: {steps: 2}}\n")
	large := filepath.Join(w.dir, "large.json")
	if err := os.WriteFile(large, make([]byte, slowUpload), 0o644); err != nil {
		t.Fatal(err)
	}
	res := w.run("run", "r.yaml")
	upload := strings.Index(res.stderr, "uploading large.json, ")
	if first := strings.Index(res.stderr, "one  toy  started"); res.code != 0 || upload < 0 || first < upload {
		t.Errorf("exit code %d; want the upload before the first step\n%s", res.code, res.stderr)
	}
	if res := w.run("run", "r.yaml"); res.code != 0 || strings.Contains(res.stderr, "uploading") {
		t.Errorf("the second run, which has nothing to upload: exit code %d\n%s", res.code, res.stderr)
	}
	if err := os.WriteFile(large, make([]byte, slowUpload+1), 0o644); err != nil {
		t.Fatal(err)
	}
	if res := w.run("put", "large.json"); res.code != 0 || !strings.Contains(res.stderr, "of 67.1 MB") {
		t.Errorf("put: exit code %d\n%s", res.code, res.stderr)
	}
}
