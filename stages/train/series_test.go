package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/failure"
)

// earlier returns the flags that make a run continue the run whose outputs are in dir.
func earlier(dir string) []string {
	flags := []string{
		"--earlier=checkpoint=" + filepath.Join(dir, "checkpoint.arrow"), "--earlier=metrics=" + filepath.Join(dir,
			"metrics.ndjson"),
		"--earlier=end=" + filepath.Join(dir, "end.json"),
	}
	if averages := filepath.Join(dir, "averages.arrow"); exists(averages) {
		flags = append(flags, "--earlier=averages="+averages)
	}
	return flags
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// A run that continues a shorter run ends with the same bytes as a run from the start, even if the shorter run itself
// continued another. The shorter run may end anywhere between log lines, measurements and snapshots.
func TestLongerRunsContinue(t *testing.T) {
	data, images := points(t), pictures(t, 8, nil)
	for name, args := range map[string][]string{
		"mlp": small(data, "--decay=constant", "--spike-factor=1.5", "--field-every=7", "--variance-every=6",
			"--variance-batches=2",
			"--sample-every=4", "--score-n=50", "--sample-steps=3", "--log-every=5", "--ema-half-life=[100,1000]",
			"--ema-profiles=[0.05,0.1]", "--ema-snapshot-every=1"),
		"unet": smallUNet(images, "--horizon=40", "--flip", "--batch=6", "--micro-batch=2", "--dropout=0.2",
			"--sample-every=5", "--sample-steps=2"),
	} {
		t.Run(name, func(t *testing.T) {
			run := func(steps string, more ...string) string {
				t.Helper()
				dir := t.TempDir()
				code, m, stderr := train(t, append(append(append([]string{}, args...), "--steps="+steps, "--out="+dir), more...)...)
				if code != 0 {
					t.Fatalf("exit %d\n%s", code, stderr)
				}
				if from := m.Results["continued_from_step"]; (from == nil) != (more == nil) {
					t.Errorf("the run of %s steps continued from step %v; want a step exactly if an earlier run was given", steps,
						from)
				}
				return dir
			}
			whole := run("39")
			first := run("9")
			second := run("22", earlier(first)...)
			again := run("39", earlier(second)...)
			for _, name := range []string{
				"checkpoint.arrow", "metrics.ndjson", "end.json", "progress.png", "averages.arrow",
			} {
				want, err := os.ReadFile(filepath.Join(whole, name))
				if name == "averages.arrow" && len(earlier(whole)) == 3 {
					continue // this training keeps no snapshots of averages
				}
				if err != nil {
					t.Fatal(err)
				}
				got, err := os.ReadFile(filepath.Join(again, name))
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s differs from that of a run from the start (%v)", name, err)
					if name == "metrics.ndjson" {
						t.Logf("%s\nfrom the start:\n%s", got, want)
					}
				}
			}
			if name != "mlp" {
				return
			}
			metrics, err := os.ReadFile(filepath.Join(whole, "metrics.ndjson"))
			if err != nil || !strings.Contains(string(metrics), `"skipped":`) {
				t.Errorf("no step was skipped, so the guard's state was not put to the test (%v)", err)
			}
		})
	}
}

func TestSeriesRefused(t *testing.T) {
	data, dir := points(t), t.TempDir()
	constant := func(more ...string) []string { return small(data, append([]string{"--decay=constant"}, more...)...) }
	if code, _, stderr := train(t, constant("--out="+dir)...); code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	empty := filepath.Join(t.TempDir(), "metrics.ndjson")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	metrics := filepath.Join(dir, "metrics.ndjson")
	checkpoint, end := earlier(dir)[0], earlier(dir)[2]
	other := t.TempDir()
	if code, _, stderr := train(t, constant("--steps=20", "--out="+other)...); code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	seed := t.TempDir() // a run of the same length with another seed
	if code, _, stderr := train(t, constant("--seed=7", "--out="+seed)...); code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	averages := func(more ...string) []string {
		return constant(append(more, "--ema-profiles=[0.1]", "--ema-snapshot-every=5")...)
	}
	kept, keptSeed := t.TempDir(), t.TempDir() // two runs with snapshots of averages, with different seeds
	for dir, args := range map[string][]string{kept: averages(), keptSeed: averages("--seed=7")} {
		if code, _, stderr := train(t, append(args, "--out="+dir)...); code != 0 {
			t.Fatalf("exit %d\n%s", code, stderr)
		}
	}
	for message, c := range map[string]struct {
		args, earlier []string
		code          failure.Class
	}{
		"given averages are not from": {averages("--steps=50"), append(earlier(kept)[:3], earlier(keptSeed)[3]),
			failure.Input},
		"the output averages of": {averages("--steps=50"), earlier(kept)[:3], failure.Usage},
		"from another series":    {constant("--steps=50", "--learning-rate=0.002"), earlier(dir), failure.Input},
		"after the 20 steps":     {constant("--steps=20"), earlier(dir), failure.Input},
		"differs in more than":   {small(data, "--steps=50"), earlier(dir), failure.Input}, // the cosine ends at step 50
		"0 lines, expected": {constant("--steps=50"), []string{checkpoint, end, "--earlier=metrics=" + empty},
			failure.Input},
		"not a readable tensor file": {constant("--steps=50"),
			[]string{"--earlier=checkpoint=" + metrics, end, "--earlier=metrics=" + metrics}, failure.Input},
		"given output end is not from": {constant("--steps=50"), []string{checkpoint, earlier(other)[2], earlier(dir)[1]},
			failure.Input},
		"end is not from the run": {constant("--steps=50"),
			[]string{checkpoint, "--earlier=end=" + empty, earlier(dir)[1]}, failure.Input},
		"from the run of this checkpoint": {constant("--steps=50"), []string{earlier(seed)[0], earlier(dir)[1], end},
			failure.Input},
		"given metrics are not from": {constant("--steps=50"), []string{checkpoint, earlier(seed)[1], end}, failure.Input},
		"without the output":         {constant("--steps=50"), earlier(dir)[1:], failure.Usage},
		"unknown output checkpoints": {constant("--steps=50"), []string{"--earlier=checkpoints=" + metrics}, failure.Usage},
		"the output metrics of":      {constant("--steps=50"), []string{checkpoint, end}, failure.Usage},
		"the output end of":          {constant("--steps=50"), []string{checkpoint}, failure.Usage},
		"horizon is 30, expected":    {small(data, "--steps=50", "--horizon=30"), nil, failure.Usage},
	} {
		args := append(append(c.args, "--out="+t.TempDir()), c.earlier...)
		code, _, stderr := train(t, args...)
		if code != c.code || !strings.Contains(stderr, message) {
			t.Errorf("exit %d, want %d and a message with %q\n%s", code, c.code, message, stderr)
		}
	}
	// Invalid parameters are refused.
	for message, args := range map[string][]string{
		"spike factor is 0.5":      constant("--spike-factor=0.5"),
		"micro-batch is 3":         constant("--micro-batch=3"),
		"ema-half-life is {":       constant("--ema-half-life={}"),
		"half-life is -1":          constant("--ema-half-life=[-1]"),
		"hybrid":                   constant("--objective=hybrid", "--schedule=cosine"),
		"logit-normal times":       constant("--times=logit-normal", "--times-scale=0"),
		"variance-batches is 1":    constant("--variance-every=3", "--variance-batches=1"),
		"weight decay is 2000":     constant("--weight-decay=2000"),
		"expected 0 (none) or a p": constant("--clip-std=-1"),
		"ema-profiles is 0.1":      constant("--ema-profiles=0.1"),
		"ema-snapshot-every has n": constant("--ema-snapshot-every=5"),
		"an average is 0.4, expec": constant("--ema-profiles=[0.05,0.4]"),
		"two averages have the re": constant("--ema-profiles=[0.1,0.10]"),
		"9 moving averages of the": constant("--ema-profiles=[0.01,0.02,0.03,0.04,0.05,0.06,0.07,0.08]"),
	} {
		code, _, stderr := train(t, append(args, "--out="+t.TempDir())...)
		if code != failure.Usage || !strings.Contains(stderr, message) {
			t.Errorf("exit %d, want %d and a message with %q\n%s", code, failure.Usage, message, stderr)
		}
	}
}
