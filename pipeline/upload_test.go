package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/failure"
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

// TestUploadFails checks that a run that fails during an upload says why in its status, its report and the document for
// the hook.
func TestUploadFails(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("one.yaml", "name: one\nsteps:\n  one: {stage: toy}\n")
	w.must("run", "one.yaml")
	w.write("r.yaml", "name: r\nsteps:\n  one: {stage: toy, inputs: {data: ./in.json}}\n")
	w.write("in.json", "1")
	for _, kv := range w.serve() {
		if endpoint, ok := strings.CutPrefix(kv, "AWS_ENDPOINT_URL="); ok {
			kv = "AWS_ENDPOINT_URL=" + noBlobs(t, endpoint)
		}
		w.env = append(w.env, kv)
	}
	const hint = "hint: these credentials may not write here"
	w.fails(failure.Store, []string{"importing in.json: ", hint}, "run", "r.yaml", "--hook", "cat >doc.json")
	var doc runStatus
	if err := json.Unmarshal([]byte(read(t, filepath.Join(w.dir, "doc.json"))), &doc); err != nil {
		t.Fatal(err)
	}
	const want = "r.yaml:3:36: step one: input data: importing in.json: "
	if !strings.HasPrefix(doc.Error, want) || doc.Hint == "" || doc.State != "failed" || doc.Steps[0].State != "waiting" {
		t.Errorf("the hook got %+v, want a failed run with an error that begins with %s", doc, want)
	}
	if out := w.must("status"); !strings.Contains(out, "\nerror: "+want) || !strings.Contains(out, "\n"+hint) {
		t.Errorf("the status lacks the error or its hint:\n%s", out)
	}
	w.must("report", "-o", "report.html")
	if page := read(t, filepath.Join(w.dir, "report.html")); !strings.Contains(page, "This run failed:</strong> "+want) {
		t.Errorf("the report lacks the error:\n%s", page)
	}
}
