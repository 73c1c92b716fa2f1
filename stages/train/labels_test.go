package main

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vapo/lib/checkpoint"
	"vapo/lib/dataset"
	"vapo/lib/engine"
	"vapo/lib/failure"
	"vapo/lib/potential"
	"vapo/lib/random"
	"vapo/lib/sampling"
)

// clusters writes points of three classes, with means at the corners of a triangle. It returns the file and the
// mixture.
func clusters(t *testing.T) (string, *dataset.Mixture) {
	t.Helper()
	var list []dataset.Component
	for k := range 3 {
		angle := 2 * math.Pi * float64(k) / 3
		list = append(list, dataset.Component{Weight: 1, Mean: []float64{0.7 * math.Cos(angle), 0.7 * math.Sin(angle)},
			Std: 0.2})
	}
	m, err := dataset.NewMixture(list)
	if err != nil {
		t.Fatal(err)
	}
	x, labels := m.Sample(random.New(1, "test", 0), 3000)
	return write(t, "clusters.arrow", &dataset.Points{Name: "three", N: 3000, D: 2, X: x, Labels: labels, Mixture: m}), m
}

// margin returns the squared distance of p from the nearest mean of another class, minus its squared distance from the
// mean of the given class.
func margin(m *dataset.Mixture, p []float32, class int) float64 {
	own, other := 0.0, math.Inf(1)
	for k, c := range m.Components {
		d := 0.0
		for j, v := range p {
			d += math.Pow(float64(v)-c.Mean[j], 2)
		}
		if k == class {
			own = d
		} else {
			other = min(other, d)
		}
	}
	return other - own
}

// Conditional samples lie near the mean of their class, unconditional samples come from all classes alike, and guidance
// moves the samples of a class away from the other classes.
func TestConditionalTraining(t *testing.T) {
	data, m := clusters(t)
	dir := t.TempDir()
	code, manifest, stderr := train(t, "--input=data="+data, "--out="+dir, "--backend=tape", "--conditional",
		"--steps=1500", "--batch=128",
		"--width=48", "--depth=2", "--learning-rate=0.005", "--ema-half-life=[8800]", "--fourier=2")
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	if manifest.Params["conditional"] != true || manifest.Params["label-dropout"] != 0.1 {
		t.Errorf("parameters %v, want conditional true and label-dropout 0.1", manifest.Params)
	}
	ck, err := checkpoint.Read(filepath.Join(dir, "checkpoint.arrow"))
	if err != nil {
		t.Fatal(err)
	}
	config, weights, err := potential.FromCheckpoint(ck, checkpoint.EMA)
	if err != nil || config.Classes != 3 {
		t.Fatalf("the network has %d classes, want 3 (%v)", config.Classes, err)
	}
	be, err := engine.Open("tape")
	if err != nil {
		t.Fatal(err)
	}
	const n = 600
	samples := func(guidance float64, label func(int) int) [][]float32 {
		s, err := sampling.New(be, config, weights, sampling.Settings{Solver: "heun", Steps: 20, Guidance: guidance})
		if err != nil {
			t.Fatal(err)
		}
		s.Label = label
		x := make([]float32, 2*n)
		if _, err := s.Draw(context.Background(), 1, 0, n, x, nil); err != nil {
			t.Fatal(err)
		}
		return slices.Collect(slices.Chunk(x, 2))
	}
	each := func(k int) int { return k % 3 }
	conditional := func(guidance float64) (share, mean float64) {
		for k, p := range samples(guidance, each) {
			v := margin(m, p, each(k))
			mean += v / n
			if v > 0 {
				share += 1.0 / n
			}
		}
		return share, mean
	}
	share, mean := conditional(1)
	if share < 0.95 {
		t.Errorf("%.1f%% of the samples are nearest to the mean of their class, want at least 95%%", 100*share)
	}
	guidedShare, guidedMean := conditional(3)
	if guidedShare < share || guidedMean < 1.1*mean {
		t.Errorf("guidance 3: %.1f%% and a margin of %.3f; want at least the %.1f%% without guidance, and 1.1 times the "+
			"margin of %.3f", 100*guidedShare, guidedMean, 100*share, mean)
	}
	var counts [3]int
	for _, p := range samples(1, nil) {
		for class := range counts {
			if margin(m, p, class) > 0 {
				counts[class]++
			}
		}
	}
	for class, c := range counts {
		if c < n/5 {
			t.Errorf("of %d unconditional samples, %d are nearest to the mean of class %d, want at least a fifth; all "+
				"classes: %v", n, c, class, counts)
		}
	}
	t.Logf("nearest to their class %.1f%%, margin %.3f; guided %.1f%%, %.3f; unconditional %v", 100*share, mean,
		100*guidedShare, guidedMean, counts)
}

// Every kind of network can be trained with labels. Unusable labels and invalid parameters are refused.
func TestConditionalKinds(t *testing.T) {
	data, images := points(t), pictures(t, 8, nil)
	wrn := func(more ...string) []string {
		return small(images, append([]string{"--model=wrn", "--batch=4", "--steps=3"}, more...)...)
	}
	for _, args := range [][]string{small(data), smallUNet(images), wrn()} {
		dir := t.TempDir()
		code, _, stderr := train(t, append(args, "--conditional", "--out="+dir)...)
		if code != 0 {
			t.Fatalf("%v: exit %d\n%s", args, code, stderr)
		}
		ck, err := checkpoint.Read(filepath.Join(dir, "checkpoint.arrow"))
		if err != nil {
			t.Fatal(err)
		}
		if config, weights, err := potential.FromCheckpoint(ck, checkpoint.Param); err != nil || config.Classes != 2 ||
			len(weights["label_emb.weight"]) == 0 {
			t.Errorf("%v: the network has %d classes, want 2 and a table of labels (%v)", args, config.Classes, err)
		}
	}
	unlabelled := pictures(t, 8, func(s *dataset.Images) { s.Labels = nil })
	for _, c := range []struct {
		message string
		code    failure.Class
		args    []string
	}{
		{"40 samples have 0 labels", 3, smallUNet(unlabelled, "--conditional")},
		{"label -1", 3, smallUNet(pictures(t, 8, func(s *dataset.Images) { s.Classes, s.Labels[3] = nil, -1 }),
			"--conditional")},
		{"10001 classes", 3, smallUNet(pictures(t, 8, func(s *dataset.Images) { s.Classes = make([]string, 10001) }),
			"--conditional")},
		{"conditional", 2, smallClassifier(images, "--conditional")},
		{"label-dropout", 2, small(data, "--label-dropout=1")},
		{"label-dropout", 2, small(data, "--label-dropout=-0.1")},
		{"wrn of depth 11", 2, wrn("--wrn-depth=11")},
		{"wrn of width 0", 2, wrn("--wrn-width=0")},
		{"attention", 2, smallUNet(images, "--attention=[3]")},
		{"attention", 2, smallUNet(images, `--attention="x"`)},
		{"dropout", 2, smallUNet(images, "--dropout=1")},
		{"images", 3, small(data, "--model=wrn")},
	} {
		if code, _, stderr := train(t, append(c.args, "--out="+t.TempDir())...); code != c.code ||
			!strings.Contains(stderr, c.message) {
			t.Errorf("%v: exit %d, want %d and a message with %q:\n%s", c.args, code, c.code, c.message, stderr)
		}
	}
}

// The checkpoint records attention, dropout and --no-time. Dropout changes the weights, and a repeated run gives the
// same weights.
func TestNetworkParameters(t *testing.T) {
	images := pictures(t, 8, nil)
	config := func(args ...string) (potential.Config, string) {
		dir := t.TempDir()
		code, m, stderr := train(t, append(args, "--out="+dir)...)
		if code != 0 {
			t.Fatalf("%v: exit %d\n%s", args, code, stderr)
		}
		ck, err := checkpoint.Read(filepath.Join(dir, "checkpoint.arrow"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := potential.ParseConfig(ck.Config)
		if err != nil {
			t.Fatal(err)
		}
		return c, m.Outputs["checkpoint"].Digest
	}
	full := smallUNet(images, "--attention=[1,2]", "--dropout=0.3")
	c, digest := config(full...)
	if got := fmt.Sprint(c.UNet.Attention, c.UNet.Dropout); got != "[1 2] 0.3" {
		t.Errorf("attention and dropout are %s, want [1 2] 0.3", got)
	}
	if _, again := config(full...); again != digest {
		t.Error("a repeated run gives other weights")
	}
	if c, plain := config(smallUNet(images, "--attention=[1,2]")...); plain == digest || c.Drops() {
		t.Error("dropout leaves the weights as they were, or a network trained without dropout has it")
	}
	if c, _ := config(small(images, "--model=wrn", "--wrn-width=2", "--no-time", "--batch=2",
		"--steps=2")...); *c.WRN != (potential.WRN{Depth: 10, Width: 2}) {
		t.Errorf("the wrn is %+v, want depth 10, width 2 and no time input", c.WRN)
	}
}
