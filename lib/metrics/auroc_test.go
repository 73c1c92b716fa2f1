package metrics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestAUROCAgreesWithSciPy(t *testing.T) {
	for _, g := range readSets(t).AUROC {
		var scores [2][]float64
		for s, p := range [][6]float64{g.A, g.B} {
			x, _ := goldenSet(p, g.Grid)
			for _, v := range x {
				scores[s] = append(scores[s], float64(v))
			}
		}
		if v, err := AUROC(scores[0], scores[1]); err != nil || relative(v, g.Value) > 1e-14 {
			t.Errorf("AUROC = %.16g, %v, SciPy has %.16g", v, err, g.Value)
		}
	}
}

func TestAUROCKnown(t *testing.T) {
	for _, tc := range []struct {
		in, out []float64
		want    float64
	}{
		{[]float64{3, 2}, []float64{1, 0, -5}, 1},
		{[]float64{1}, []float64{2, 3}, 0},
		{[]float64{4, 4}, []float64{4}, 0.5},
		{[]float64{0, 2}, []float64{math.Copysign(0, -1), 1}, 0.625}, // the zeros tie
		{[]float64{math.MaxFloat64}, []float64{-math.MaxFloat64}, 1},
	} {
		if v, err := AUROC(tc.in, tc.out); err != nil || v != tc.want {
			t.Errorf("AUROC(%v, %v) = %g, %v, want %g", tc.in, tc.out, v, err, tc.want)
		}
	}
}

// AUROC agrees with a count of all pairs, ties included. AUROC(in, out) + AUROC(out, in) is 1.
func TestAUROCProperties(t *testing.T) {
	for trial := range uint64(50) {
		r := rand.New(rand.NewPCG(trial, 1))
		scores := func() []float64 {
			x := make([]float64, 1+r.IntN(30))
			for i := range x {
				x[i] = float64(r.IntN(8))
			}
			return x
		}
		in, out := scores(), scores()
		before := slices.Clone(in)
		var wins float64
		for _, a := range in {
			for _, b := range out {
				switch {
				case a > b:
					wins++
				case a == b:
					wins += 0.5
				}
			}
		}
		v, err := AUROC(in, out)
		if want := wins / float64(len(in)*len(out)); err != nil || !closeTo(v, want, 1e-15) {
			t.Errorf("AUROC(%v, %v) = %g, %v, a count of all pairs gives %g", in, out, v, err, want)
		}
		if w, _ := AUROC(out, in); !closeTo(v+w, 1, 1e-15) {
			t.Errorf("AUROC(in, out) is %g and AUROC(out, in) is %g, want a sum of 1", v, w)
		}
		if !slices.Equal(in, before) {
			t.Error("the scores were sorted in place")
		}
	}
}

func TestAUROCRefuses(t *testing.T) {
	run := func(in, out []float64) error { _, err := AUROC(in, out); return err }
	refuses(t, "empty", run(nil, []float64{1}), "at least one inlier")
	refuses(t, "empty", run([]float64{1}, nil), "at least one inlier")
	refuses(t, "nan", run([]float64{1, math.NaN()}, []float64{1}), "inlier score 1")
	refuses(t, "infinite", run([]float64{1}, []float64{1, 2, math.Inf(-1)}), "outlier score 2")
}
