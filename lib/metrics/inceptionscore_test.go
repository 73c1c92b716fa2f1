package metrics

import (
	"math/rand/v2"
	"testing"
)

func TestInceptionScoreAgreesWithPyTorch(t *testing.T) {
	for _, g := range readSets(t).Score {
		logits, classes := goldenSet(g.A, 0)
		r, err := InceptionScore(logits, classes, g.Splits)
		if err != nil {
			t.Fatal(err)
		}
		if !closeTo(r.Mean, g.Mean, 1e-12) || !closeTo(r.Std, g.Std, 1e-12) || r.N != int(g.A[1]) {
			t.Errorf("seed %g: %+v, PyTorch has %.15g ± %.15g", g.A[0], r, g.Mean, g.Std)
		}
	}
}

func TestInceptionScoreKnown(t *testing.T) {
	const n, classes = 700, 7
	uniform := make([]float32, n*classes)
	sure, sorted := make([]float32, n*classes), make([]float32, n*classes)
	for i := range n {
		sure[i*classes+i%classes] = 1e6
		sorted[i*classes+i*classes/n] = 1e6
		for c := range classes {
			uniform[i*classes+c] = float32(i) - 350
		}
	}
	for _, tc := range []struct {
		name   string
		logits []float32
		splits int
		want   float64
	}{
		{"uniform", uniform, 10, 1}, // at any level of the logits
		{"sure and even", sure, 10, classes},
		{"sorted by class, one split", sorted, 1, classes},
		{"sorted by class, a split each", sorted, classes, 1},
	} {
		r, err := InceptionScore(tc.logits, classes, tc.splits)
		if err != nil || !closeTo(r.Mean, tc.want, 1e-13) || r.Std > 1e-12 || r.Mean < 1 {
			t.Errorf("%s: %+v (%v), want mean %g, at least 1, and standard deviation 0", tc.name, r, err, tc.want)
		}
	}
}

func TestInceptionScoreIsDeterministic(t *testing.T) {
	logits := points(rand.New(rand.NewPCG(1, 1)), 3000, 5)
	sameOnAnyCores(t, func() (InceptionScoreResult, error) { return InceptionScore(logits, 5, 2) })
}

func TestInceptionScoreWarns(t *testing.T) {
	logits := points(rand.New(rand.NewPCG(1, 1)), 100, 5)
	r, err := InceptionScore(logits, 5, 11)
	if err != nil {
		t.Fatal(err)
	}
	warns(t, "small splits", r.Warnings, "9 images a split for 5 classes")
	if r, err = InceptionScore(logits, 5, 10); err != nil || len(r.Warnings) > 0 {
		t.Errorf("splits of twice as many images as classes: %+v (%v), want no warning", r, err)
	}
}

func TestInceptionScoreRefuses(t *testing.T) {
	run := func(x []float32, classes, splits int) error { _, err := InceptionScore(x, classes, splits); return err }
	ok := make([]float32, 8)
	refuses(t, "ragged", run(ok, 3, 1), "8 values", "rows of 3")
	refuses(t, "empty", run(nil, 3, 1), "at least 1")
	refuses(t, "no splits", run(ok, 2, 0), "0 splits", "expected 1 to 4")
	refuses(t, "splits", run(ok, 2, 5), "5 splits of 4")
	refuses(t, "not finite", run(notFinite(), 2, 1), "row 2")
}
