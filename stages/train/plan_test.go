package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/failure"
	"vapo/lib/stage"
)

// --plan-memory prints the memory that the run will take and the largest batch that fits. It writes no outputs.
func TestPlanMemory(t *testing.T) {
	dir := t.TempDir()
	args := smallUNet(pictures(t, 8, nil), "--out="+dir, "--batch=6")
	plan := func(more ...string) (p memoryPlan) {
		t.Helper()
		var out, errs bytes.Buffer
		if code := stage.Main(spec, append(append(args, "--plan-memory"), more...), &out, &errs); code != 0 {
			t.Fatalf("exit %d\n%s", code, errs.String())
		}
		if err := json.Unmarshal(out.Bytes(), &p); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		return p
	}
	p := plan()
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err == nil {
		t.Error("--plan-memory wrote outputs")
	}
	code, m, stderr := train(t, args...)
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	if got := m.Results["memory_bytes"]; p.Samples != 6 || got != float64(p.Memory) {
		t.Errorf("the plan is %+v, want 6 samples and the %v bytes that the run took", p, got)
	}
	if plain, remat := plan("--batch=64"), plan("--batch=64", "--remat"); remat.Memory >= plain.Memory {
		t.Errorf("the plan with --remat is %+v, want less memory than in the plan without, %+v", remat, plain)
	}
	parts := plan("--micro-batch=3")
	if parts.Samples != 3 || parts.Memory >= p.Memory {
		t.Errorf("the plan with --micro-batch=3 is %+v, want 3 samples and less memory than for the whole batch, %+v",
			parts, p)
	}
	if p.Available == 0 {
		return // the system's memory size is unknown
	}
	// The plans of two sizes agree on the largest batch.
	if ratio := float64(parts.Largest) / float64(p.Largest); p.Largest < 1000 || ratio < 0.95 || ratio > 1.05 {
		t.Errorf("the largest batch is %d as a whole and %d in micro-batches, want at least 1000 and the same within 5%%",
			p.Largest, parts.Largest)
	}
}

// If a batch has more elements than an engine can draw random numbers for, the error names the batch, not the data.
func TestBatchTooLarge(t *testing.T) {
	args := smallUNet(pictures(t, 8, nil), "--channels=64", "--dropout=0.1", "--batch=1048576", "--out="+t.TempDir())
	for _, more := range []string{"--plan-memory", "--micro-batch=0"} {
		code, _, stderr := train(t, append(args, more)...)
		if code != failure.Resources || !strings.Contains(stderr, "1048576 samples at once are too many") ||
			!strings.Contains(stderr, "smaller --batch") {
			t.Errorf("%s: exit %d, want 7, and a message and a hint that name the batch: %s", more, code, stderr)
		}
	}
	// Twice this batch would be too large. The plan still gives the memory of the batch itself.
	var out, errs bytes.Buffer
	var p memoryPlan
	code := stage.Main(spec, append(args, "--plan-memory", "--batch=600000"), &out, &errs)
	if err := json.Unmarshal(out.Bytes(), &p); code != 0 || err != nil || p.Memory == 0 || p.Largest != 0 {
		t.Errorf("exit %d, plan %+v (%v), want the memory and no largest batch: %s", code, p, err, errs.String())
	}
}

// A run with --remat takes less memory and writes the same outputs. An mlp, which has no blocks, refuses the flag.
func TestRemat(t *testing.T) {
	images := pictures(t, 16, nil)
	for name, args := range map[string][]string{
		"unet": smallUNet(images, "--steps=3", "--batch=32", "--variance-every=3", "--variance-batches=2"),
		"wrn":  small(images, "--model=wrn", "--steps=2", "--batch=32"),
	} {
		code, plain, stderr := train(t, append(args, "--out="+t.TempDir())...)
		if code != failure.OK {
			t.Fatalf("%s: exit %d\n%s", name, code, stderr)
		}
		code, remat, stderr := train(t, append(args, "--remat", "--out="+t.TempDir())...)
		if code != failure.OK {
			t.Fatalf("%s: exit %d\n%s", name, code, stderr)
		}
		for output, p := range plain.Outputs {
			if r := remat.Outputs[output]; r.Digest != p.Digest {
				t.Errorf("%s: the output %s is %s with --remat, %s without", name, output, r.Digest, p.Digest)
			}
		}
		if p, r := plain.Results["memory_bytes"].(float64), remat.Results["memory_bytes"].(float64); r >= p {
			t.Errorf("%s: %v bytes with --remat, want fewer than the %v without", name, r, p)
		}
	}
	if code, _, stderr := train(t, small(points(t), "--remat")...); code != failure.Usage ||
		!strings.Contains(stderr, "remat") {
		t.Errorf("--remat for an mlp: exit %d, want %d and a message with remat\n%s", code, failure.Usage, stderr)
	}
}
