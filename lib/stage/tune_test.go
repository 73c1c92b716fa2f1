package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/contract"
	"vapo/lib/failure"
)

// tunable returns the stage of spec with the tune command. The tuning has one kernel for each step of the run.
func tunable() Stage[params] {
	s := spec()
	s.Inputs = append(s.Inputs, Tuning)
	s.Tune = func(p *params) { p.Steps = 1 }
	s.Run = func(ctx context.Context, job *Job, p *params) error {
		if job.Tunes() && !p.Fast {
			job.SetTuning(func(w io.Writer) error { _, err := fmt.Fprintf(w, "{\"kernels\":%d}", p.Steps); return err })
		}
		return work(ctx, job, p)
	}
	return s
}

// TestTune: the tune command runs the shortened stage and writes only the tuning. The command's manifest records the
// parameters of the full run. The full run takes the tuning as an input, so the tuning becomes part of the run's key.
func TestTune(t *testing.T) {
	_, data := noStore(t)
	call := func(args ...string) (failure.Class, *contract.Manifest, string) {
		t.Helper()
		var out, errs bytes.Buffer
		code := Main(tunable(), args, &out, &errs)
		var m contract.Manifest
		if code == failure.OK {
			if err := json.Unmarshal(out.Bytes(), &m); err != nil {
				t.Fatalf("standard output is not a manifest: %v\n%s", err, out.String())
			}
		}
		return code, &m, errs.String()
	}
	dir := t.TempDir()
	args := []string{"--input=data=" + data, "--steps=5", "--json", "--out=" + dir}
	code, m, stderr := call(append([]string{"tune"}, args...)...)
	if code != failure.OK {
		t.Fatalf("the tune command: exit %d, want 0\n%s", code, stderr)
	}
	if m.Stage != "demo tune" || len(m.Outputs) != 1 || m.Params["steps"] != 5.0 {
		t.Errorf("manifest %+v, want stage \"demo tune\", one output and 5 steps", m)
	}
	file := filepath.Join(dir, "tuning.json")
	if got, err := os.ReadFile(file); err != nil || string(got) != `{"kernels":1}` {
		t.Errorf("the tuning is %q, error %v, want one kernel", got, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "model.arrow")); err == nil {
		t.Error("the tune command wrote a model")
	}
	code, plain, stderr := call(args...)
	if code != failure.OK || plain.Inputs["tuning"] != "" {
		t.Fatalf("a run without a tuning: exit %d, inputs %v, want 0 and no input tuning\n%s", code, plain.Inputs, stderr)
	}
	code, tuned, stderr := call(append(args, "--input=tuning="+file)...)
	if code != failure.OK || tuned.Inputs["tuning"] != m.Outputs["tuning"].Digest {
		t.Fatalf("a run with the tuning: exit %d, inputs %v, want 0 and tuning %s\n%s",
			code, tuned.Inputs, m.Outputs["tuning"].Digest, stderr)
	}
	if code, _, stderr := call(append([]string{"tune", "--input=tuning=" + file}, args...)...); code != failure.Usage ||
		!strings.Contains(stderr, "unknown input tuning") {
		t.Errorf("a tuning for the tune command: exit %d, want %d and \"unknown input tuning\"\n%s",
			code, failure.Usage, stderr)
	}
	if code, _, stderr := call(append([]string{"tune", "--fast"}, args...)...); code != failure.Usage ||
		!strings.Contains(stderr, "nothing to tune") {
		t.Errorf("tune for a run without a card: exit %d, want %d and \"nothing to tune\"\n%s", code, failure.Usage, stderr)
	}
}

// TestNoTune: a stage without Tune has no tune command.
func TestNoTune(t *testing.T) {
	if code, _, stderr := demo(t, "tune"); code != failure.Usage {
		t.Errorf("exit %d, want %d\n%s", code, failure.Usage, stderr)
	}
}
