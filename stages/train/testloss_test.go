package main

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/checkpoint"
	"vapo/lib/dataset"
	"vapo/lib/homotopy"
	"vapo/lib/random"
)

// The test loss is that of the objective matching, 1/2 |grad Phi - v|² per dimension (the first term of L5), computed
// with the averaged weights.
func TestTestLoss(t *testing.T) {
	const n, dim = 123, 2
	set := &dataset.Points{Name: "held out", N: n, D: dim, X: make([]float32, n*dim)}
	random.New(5, "test", 0).Normal(set.X)
	test := "--input=test=" + write(t, "test.arrow", set)
	dir := t.TempDir()
	code, m, stderr := train(t, small(points(t), test, "--times=logit-normal", "--out="+dir)...)
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}

	path, err := homotopy.Lookup("linear", 1)
	if err != nil {
		t.Fatal(err)
	}
	x, v, times := make([]float32, n*dim), make([]float64, n*dim), make([]float32, n)
	for i := range n {
		from := random.New(0, "train/test", uint64(i))
		at := path.Draw((float64(i%10) + from.Uniform64()) / 10)
		noise := make([]float32, dim)
		from.Normal(noise)
		times[i] = float32(at)
		p := path.At(at)
		for j := range dim {
			k := i*dim + j
			x[k] = float32(p.Mu*float64(set.X[k]) + p.Sigma*float64(noise[j]))
			v[k] = p.DMu*float64(set.X[k]) + p.DSigma*float64(noise[j])
		}
	}
	_, grad := evaluate(t, filepath.Join(dir, "checkpoint.arrow"), checkpoint.EMA, x, times)
	want, counts := make([]float64, 10), make([]float64, 10)
	for i := range n {
		for k := i * dim; k < (i+1)*dim; k++ {
			want[i%10] += math.Pow(float64(grad[k])-v[k], 2) / 2
		}
		counts[i%10] += dim
	}
	mean := 0.0
	bins := m.Results["test_loss_by_time"].([]any)
	for i := range want {
		want[i] /= counts[i]
		mean += want[i] / 10
		if got := bins[i].(float64); math.Abs(got-want[i]) > 1e-5*want[i] {
			t.Errorf("bin %d: loss %v, expected %v", i, got, want[i])
		}
	}
	if got := m.Results["test_loss"].(float64); math.Abs(got-mean) > 1e-5*mean || m.Results["test_samples"] != float64(n) {
		t.Errorf("loss %v of %v samples, expected %v of %d", got, m.Results["test_samples"], mean, n)
	}
}

func TestWrongTestSets(t *testing.T) {
	labelled := pictures(t, 8, nil)
	for _, c := range []struct {
		name, test, message string
	}{
		{"points for images", points(t), "input test: samples of shape [2], expected [1 8 8], as in the input data"},
		{"no labels", pictures(t, 8, func(s *dataset.Images) { s.Labels = nil }), "40 samples with 0 labels"},
		{"unknown class", pictures(t, 8, func(s *dataset.Images) { s.Labels[7], s.Classes = 2, append(s.Classes, "top") }),
			"from 0 to 1"},
		{"other classes", pictures(t, 8, func(s *dataset.Images) { s.Classes = []string{"low", "top"} }),
			`class 1 is "top", expected "high", as in the input data`},
		{"too few", pictures(t, 8, func(s *dataset.Images) { s.N, s.Labels, s.Pixels = 9, s.Labels[:9], s.Pixels[:9*64] }),
			"9 samples, expected at least 10"},
	} {
		code, _, stderr := train(t, smallUNet(labelled, "--conditional", "--input=test="+c.test, "--out="+t.TempDir())...)
		if code != 3 || !strings.Contains(stderr, c.message) {
			t.Errorf("%s: exit %d, want 3 and a message with %q: %s", c.name, code, c.message, stderr)
		}
	}
	// Without --conditional, the classes have no effect. A set without names is taken to have the same classes.
	renamed := pictures(t, 8, func(s *dataset.Images) { s.Classes = []string{"high", "low"} })
	unnamed := pictures(t, 8, func(s *dataset.Images) { s.Classes = nil })
	for _, more := range [][]string{{"--input=test=" + renamed}, {"--conditional", "--input=test=" + unnamed}} {
		if code, _, stderr := train(t, smallUNet(labelled, append(more, "--out="+t.TempDir())...)...); code != 0 {
			t.Errorf("%v: exit %d, want 0: %s", more, code, stderr)
		}
	}
	code, m, stderr := train(t, smallUNet(labelled, "--conditional", "--input=test="+labelled, "--out="+t.TempDir())...)
	if code != 0 || m.Results["test_loss"].(float64) <= 0 {
		t.Errorf("labelled images: exit %d, want 0; test loss %v, want one above 0: %s", code, m.Results["test_loss"],
			stderr)
	}
}
