package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"vapo/lib/stage"
)

// --plan-memory prints the memory that the run then takes and the largest batch that fits, and makes no outputs.
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
		t.Error("a plan made outputs")
	}
	code, m, stderr := train(t, args...)
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	if got := m.Results["memory_bytes"]; p.Samples != 6 || got != float64(p.Memory) {
		t.Errorf("the plan is %+v, the run took %v bytes", p, got)
	}
	parts := plan("--micro-batch=3")
	if parts.Samples != 3 || parts.Memory >= p.Memory {
		t.Errorf("the plan with half as many samples at once is %+v, with all %+v", parts, p)
	}
	if p.Available == 0 {
		return // the system does not say how much memory it has
	}
	// The plans of two sizes agree on the largest batch.
	if ratio := float64(parts.Largest) / float64(p.Largest); p.Largest < 1000 || ratio < 0.95 || ratio > 1.05 {
		t.Errorf("largest batches %d and %d", p.Largest, parts.Largest)
	}
}
