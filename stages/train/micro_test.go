package main

import (
	"bufio"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"vapo/stages/train/internal/watch"
)

// Micro-batches give the same losses, gradient norms and bins as a batch computed at once, up to rounding.
func TestMicroBatches(t *testing.T) {
	lines := func(args ...string) (out []watch.Line) {
		t.Helper()
		dir := t.TempDir()
		if code, _, stderr := train(t, append(args, "--log-every=1", "--out="+dir)...); code != 0 {
			t.Fatalf("exit %d\n%s", code, stderr)
		}
		f, err := os.Open(filepath.Join(dir, "metrics.ndjson"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			var l watch.Line
			if err := json.Unmarshal(s.Bytes(), &l); err != nil {
				t.Fatal(err)
			}
			out = append(out, l)
		}
		return out
	}
	images := pictures(t, 8, nil)
	for name, args := range map[string][]string{
		"mlp":        small(points(t), "--objective=energy"),
		"unet":       smallUNet(images, "--flip", "--conditional", "--batch=6"),
		"classifier": smallClassifier(images),
	} {
		whole := lines(args...)
		size := map[string]string{"mlp": "4", "unet": "2", "classifier": "8"}[name]
		parts := lines(append(args, "--micro-batch="+size)...)
		if len(whole) == 0 || len(whole) != len(parts) {
			t.Fatalf("%s: %d lines for whole batches, %d for micro-batches, want equally many and some", name,
				len(whole), len(parts))
		}
		near := func(step int64, what string, a, b float64) {
			if math.Abs(a-b) > 2e-4*(1+math.Abs(a)) {
				t.Errorf("%s, step %d: the %s is %v for the whole batch, %v for micro-batches", name, step, what, a, b)
			}
		}
		for i, w := range whole {
			p := parts[i]
			near(w.Step, "loss", *w.Loss, *p.Loss)
			near(w.Step, "gradient norm", w.GradNorm, p.GradNorm)
			for k := range w.Bins {
				near(w.Step, "count of a bin", float64(w.Bins[k].Count), float64(p.Bins[k].Count))
				near(w.Step, "loss of a bin", w.Bins[k].Loss, p.Bins[k].Loss)
			}
		}
	}
}
