package metrics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestFrechetInfinityAgreesWithSciPy(t *testing.T) {
	g := readSets(t).Infinity
	a, d := goldenSet(g.A, 0)
	b, _ := goldenData(g.B)
	r, err := FrechetInfinity(a, momentsOf(t, b, d), d, InfinityOptions{Sizes: 5, Smallest: 12, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Sizes, []int{12, 24, 36, 48, 60}) {
		t.Fatalf("sizes %v, want 12 to 60", r.Sizes)
	}
	for i, v := range r.Distances {
		if relative(v, g.Distances[i]) > 1e-10 {
			t.Errorf("%d vectors: %.12g, SciPy has %.12g", r.Sizes[i], v, g.Distances[i])
		}
	}
	for name, pair := range map[string][2]float64{
		"value": {r.Value, g.Value}, "slope": {r.Slope, g.Slope},
		"residual": {r.Residual, g.Residual}, "all": {r.AtN, g.Distances[4]},
	} {
		if relative(pair[0], pair[1]) > 1e-9 {
			t.Errorf("%s: %.12g, SciPy has %.12g", name, pair[0], pair[1])
		}
	}
}

// exactly returns the moments of a distribution whose mean is m in each component and whose covariance is s²·I.
func exactly(t *testing.T, d int, m, s float64) *Moments {
	t.Helper()
	mean, cov := make([]float64, d), make([]float64, d*d)
	for i := range d {
		mean[i] = m
		cov[i*d+i] = s * s
	}
	exact, err := NewMomentsOf(0, mean, cov)
	if err != nil {
		t.Fatal(err)
	}
	return exact
}

// The distance of two Gaussians is known. In at least three quarters of the draws, the extrapolated distance is closer
// to the known one than the distance at N is. The mean error of the extrapolated distance is at most a quarter of that
// of the distance at N.
func TestFrechetInfinityRecoversADistance(t *testing.T) {
	const n, d, draws = 1200, 24, 24
	reference := exactly(t, d, 0.1, 1.25)
	want := d * (0.1*0.1 + 0.25*0.25)
	var atN, infinity float64
	nearer := 0
	for i := range uint64(draws) {
		r, err := FrechetInfinity(points(rand.New(rand.NewPCG(i, 1)), n, d), reference, d, InfinityOptions{Seed: i})
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(r.Value-want) < math.Abs(r.AtN-want) {
			nearer++
		}
		if r.Slope <= 0 || r.Residual <= 0 || len(r.Warnings) > 0 {
			t.Errorf("draw %d: %+v, want a positive slope and residual and no warning", i, r)
		}
		atN += (r.AtN - want) / draws
		infinity += (r.Value - want) / draws
	}
	if atN < 0.1 || math.Abs(infinity) > atN/4 || nearer < draws*3/4 {
		t.Errorf("mean error %.4f after extrapolation, %.4f at N; the extrapolated distance is closer in %d of %d draws",
			infinity, atN, nearer, draws)
	}
}

func TestFrechetInfinitySizes(t *testing.T) {
	for _, tc := range []struct {
		n, d, first int
		warn        string
	}{
		{600, 4, 60, ""},
		{200, 6, 30, ""},
		{100, 20, 50, ""},
		{60, 20, 30, "smallest size, 30, is below twice the 20 features"},
		{36, 40, 18, "covariance is singular"},
	} {
		a := points(rand.New(rand.NewPCG(1, uint64(tc.n))), tc.n, tc.d)
		reference := exactly(t, tc.d, 0, 1)
		r, err := FrechetInfinity(a, reference, tc.d, InfinityOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Sizes) != 15 || r.Sizes[0] != tc.first || r.Sizes[14] != tc.n {
			t.Errorf("%d vectors of %d: sizes %v, want 15 from %d to %d", tc.n, tc.d, r.Sizes, tc.first, tc.n)
		}
		if tc.warn != "" {
			warns(t, "small", r.Warnings, tc.warn)
		}
		whole, err := FrechetDistance(momentsOf(t, a, tc.d), reference)
		if err != nil || r.AtN != whole.Value {
			t.Errorf("%d vectors of %d: AtN is %.17g, FrechetDistance gives %.17g, %v", tc.n, tc.d, r.AtN, whole.Value, err)
		}
	}
	near := points(rand.New(rand.NewPCG(8, 5)), 100, 6)
	negative := 0
	for seed := range uint64(8) {
		r, err := FrechetInfinity(near, exactly(t, 6, 0, 1), 6, InfinityOptions{Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		if r.Value < 0 {
			negative++
			warns(t, "negative", r.Warnings, "negative")
		}
	}
	if negative == 0 {
		t.Error("no seed gave a negative distance, so the warning was not tested")
	}
}

func TestFrechetInfinityIsDeterministic(t *testing.T) {
	a := points(rand.New(rand.NewPCG(2, 1)), 700, 8)
	b := exactly(t, 8, 0.5, 1)
	sameOnAnyCores(t, func() (InfinityResult, error) { return FrechetInfinity(a, b, 8, InfinityOptions{}) })
	one, _ := FrechetInfinity(a, b, 8, InfinityOptions{})
	other, _ := FrechetInfinity(a, b, 8, InfinityOptions{Seed: 1})
	if one.Value == other.Value || one.AtN != other.AtN {
		t.Errorf("seeds 0 and 1 give %+v and %+v, want different values and the same AtN", one, other)
	}
}

func TestFrechetInfinityRefuses(t *testing.T) {
	b := exactly(t, 2, 0, 1)
	ok := points(rand.New(rand.NewPCG(1, 1)), 40, 2)
	run := func(a []float32, b *Moments, d int, o InfinityOptions) error {
		_, err := FrechetInfinity(a, b, d, o)
		return err
	}
	refuses(t, "reference", run(ok, nil, 2, InfinityOptions{}), "reference")
	refuses(t, "dimension", run(ok, exactly(t, 3, 0, 1), 2, InfinityOptions{}), "reference does not have dimension 2")
	refuses(t, "ragged", run(ok[:7], b, 2, InfinityOptions{}), "sample set")
	refuses(t, "not finite", run(notFinite(), b, 2, InfinityOptions{}), "row 2 of the sample set")
	refuses(t, "few", run(ok[:20], b, 2, InfinityOptions{}), "15 sizes from 5 to 10")
	refuses(t, "two sizes", run(ok, b, 2, InfinityOptions{Sizes: 2}), "at least 3")
	refuses(t, "smallest", run(ok, b, 2, InfinityOptions{Smallest: 1}), "from 1 to 40")
	refuses(t, "all", run(ok, b, 2, InfinityOptions{Smallest: 40}), "from 40 to 40")
}
