package metrics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestMMDAgreesWithSciPy(t *testing.T) {
	for _, g := range readSets(t).MMD {
		a, d := goldenSet(g.A, 0)
		b, _ := goldenSet(g.B, 0)
		r, err := MMD(a, b, d, MMDOptions{Limit: g.Limit, Seed: 7})
		if err != nil {
			t.Fatal(err)
		}
		if relative(r.Bandwidth, g.Bandwidth) > 1e-14 {
			t.Errorf("seed %g: bandwidth %.15g, SciPy has %.15g", g.A[0], r.Bandwidth, g.Bandwidth)
		}
		var mean float64
		for s, want := range g.Scales {
			mean += want / 5
			if !closeTo(r.Scales[s], want, 1e-13) { // Scales are sums of values up to 1
				t.Errorf("seed %g, scale %d: %.15g, SciPy has %.15g", g.A[0], s, r.Scales[s], want)
			}
		}
		if !closeTo(r.Value, mean, 1e-13) {
			t.Errorf("seed %g: value %.15g, want %.15g, the mean of SciPy's scales", g.A[0], r.Value, mean)
		}
		if limited := g.Limit > 0; limited != (len(r.Warnings) == 2) || limited && r.NA != g.Limit {
			t.Errorf("seed %g: limit %d, %d points used, warnings %q; want two warnings if and only if there is a limit",
				g.A[0], g.Limit, r.NA, r.Warnings)
		}
	}
}

func TestMMDKnown(t *testing.T) {
	mmd := func(a, b []float32, d int) MMDResult {
		r, err := MMD(a, b, d, MMDOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := rand.New(rand.NewPCG(1, 1))
	const n, d = 150, 3
	a, b := points(r, n, d), points(r, n, d)
	// MMD² between a set and itself is -2/n·(1 - mean k), slightly below zero.
	if v := mmd(a, a, d).Value; v > 0 || v < -2.0/n {
		t.Errorf("MMD² between a set and itself is %g, want %g to 0", v, -2.0/n)
	}
	ab := mmd(a, b, d)
	if ba := mmd(b, a, d); !closeTo(ba.Value, ab.Value, 1e-14) || ba.Bandwidth != ab.Bandwidth {
		t.Errorf("MMD(a, b) is %+v, MMD(b, a) is %+v, want the same", ab, ba)
	}
	if math.Abs(ab.Value) > 0.01 {
		t.Errorf("MMD² of two samples of one distribution is %g, want about 0", ab.Value)
	}
	// The bandwidth has the unit of the points. The value does not depend on this unit.
	scale := func(x []float32) []float32 {
		y := slices.Clone(x)
		for i := range y {
			y[i] *= 1 << 20
		}
		return y
	}
	if s := mmd(scale(a), scale(b), d); s.Value != ab.Value || s.Bandwidth != ab.Bandwidth*(1<<20) {
		t.Errorf("MMD is %+v, and %+v in a unit 2^20 times smaller, want the same value and a scaled bandwidth", ab, s)
	}
	// For two clusters of coinciding points, k is 1 within a cluster, and exp(-1/2·(1/s)²) between them if the bandwidth
	// is s times their distance.
	near, far := make([]float32, 40), make([]float32, 40)
	for i := range far {
		far[i] = 1
	}
	got := mmd(near, far, 1)
	for s, scale := range []float64{0.25, 0.5, 1, 2, 4} {
		if want := 2 - 2*math.Exp(-0.5/(scale*scale)); got.Bandwidth != 1 || relative(got.Scales[s], want) > 1e-13 {
			t.Errorf("two points: scale %g of bandwidth %g gives %.15g, want %.15g and bandwidth 1", scale, got.Bandwidth,
				got.Scales[s], want)
		}
	}
}

func TestMMDIsUnbiased(t *testing.T) {
	var values []float64
	for i := range uint64(300) {
		r := rand.New(rand.NewPCG(i, 2))
		m, err := MMD(points(r, 20, 2), points(r, 30, 2), 2, MMDOptions{})
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, m.Value)
	}
	if mean, std := meanStd(values); math.Abs(mean) > 4*std/math.Sqrt(300) {
		t.Errorf("mean %g over 300 draws whose standard deviation is %g, want about 0", mean, std)
	}
}

func TestMMDIsDeterministic(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	a, b := points(r, 700, 3), points(r, 1200, 3)
	sameOnAnyCores(t, func() (MMDResult, error) { return MMD(a, b, 3, MMDOptions{Limit: 600}) })
	m, err := MMD(a, b, 3, MMDOptions{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Warnings) != 1 || m.NA != 700 || m.NB != 1000 {
		t.Errorf("700 and 1200 points, limit 1000: %+v, want 700 and 1000 points and a warning", m)
	}
	warns(t, "limit", m.Warnings, "1000 of the 1200 points of the second set")
}

func TestMMDRefuses(t *testing.T) {
	ok := []float32{1, 2, 3, 4}
	run := func(a, b []float32, d int, o MMDOptions) error { _, err := MMD(a, b, d, o); return err }
	refuses(t, "ragged", run(ok, ok[:3], 2, MMDOptions{}), "second set")
	refuses(t, "one", run(ok[:2], ok, 2, MMDOptions{}), "first set", "at least 2")
	refuses(t, "limit", run(ok, ok, 2, MMDOptions{Limit: 1}), "limit of 1")
	refuses(t, "not finite", run(ok, notFinite(), 2, MMDOptions{}), "row 2 of the second set")
	refuses(t, "one place", run(make([]float32, 8), make([]float32, 8), 2, MMDOptions{}), "coincide")
}

func BenchmarkMMD(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	x, y := points(r, 5000, 2), points(r, 5000, 2)
	for b.Loop() {
		if _, err := MMD(x, y, 2, MMDOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
