package metrics

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/stat"
)

// momentsClose compares to tol, relative to the scale of the data.
func momentsClose(t *testing.T, what string, a, b *Moments, tol float64) {
	t.Helper()
	if a.n != b.n {
		t.Fatalf("%s: N is %d and %d", what, a.n, b.n)
	}
	var scale, spread float64
	for i := range a.d {
		scale = math.Max(scale, math.Abs(b.mean[i]))
		spread = math.Max(spread, b.m2[i*a.d+i])
	}
	for i := range a.mean {
		if math.Abs(a.mean[i]-b.mean[i]) > tol*math.Max(scale, 1) {
			t.Fatalf("%s: mean[%d] is %.17g and %.17g", what, i, a.mean[i], b.mean[i])
		}
	}
	for i := range a.m2 {
		if math.Abs(a.m2[i]-b.m2[i]) > tol*spread {
			t.Fatalf("%s: M2[%d] is %.17g and %.17g", what, i, a.m2[i], b.m2[i])
		}
	}
}

// Merging is associative and commutative, and adding in any pieces gives the
// same moments, to 1e-12.
func TestMomentsMergeIsAssociative(t *testing.T) {
	for trial := range 40 {
		r := rand.New(rand.NewPCG(uint64(trial), 5))
		d := 1 + r.IntN(6)
		part := func() []float64 {
			return normals(r, r.IntN(600), d, 10*r.NormFloat64(), math.Exp(r.NormFloat64()))
		}
		x, y, z := part(), part(), part()
		a, b, c := momentsOf(t, x, d), momentsOf(t, y, d), momentsOf(t, z, d)
		merged := func(list ...*Moments) *Moments {
			m := NewMoments(d)
			for _, o := range list {
				if err := m.Merge(o); err != nil {
					t.Fatal(err)
				}
			}
			return m
		}
		left := merged(merged(a, b), c)
		right := merged(a, merged(b, c))
		if left.n == 0 {
			continue
		}
		momentsClose(t, "association", left, right, 1e-12)
		momentsClose(t, "order", left, merged(c, a, b), 1e-12)
		whole := append(append(append([]float64(nil), x...), y...), z...)
		momentsClose(t, "shards", left, momentsOf(t, whole, d), 1e-12)
	}
}

func TestMomentsAgreeWithTwoPasses(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const n, d = 1000, 4
	// An offset a million times the spread: sums of squares would lose it all.
	x := normals(r, n, d, 1e6, 1)
	m := momentsOf(t, x, d)
	cov := m.Cov()
	for i := range d {
		for j := range d {
			xi, xj := make([]float64, n), make([]float64, n)
			for k := range n {
				xi[k], xj[k] = x[k*d+i], x[k*d+j]
			}
			if got, want := cov.At(i, j), stat.Covariance(xi, xj, nil); math.Abs(got-want) > 1e-9 {
				t.Errorf("cov[%d,%d] = %.12g, want %.12g", i, j, got, want)
			}
		}
	}
}

func TestMomentsErrorsLeaveThemAlone(t *testing.T) {
	m := momentsOf(t, []float64{1, 2, 3, 4}, 2)
	before := *m
	if err := m.Add([]float64{1, 2, 3}); err == nil {
		t.Error("a broken row was added")
	}
	if err := m.Add([]float64{1, 2, 3, math.NaN()}); err == nil {
		t.Error("NaN was added")
	}
	if err := m.Merge(NewMoments(3)); err == nil {
		t.Error("another dimension was merged")
	}
	if err := m.Merge(nil); err == nil {
		t.Error("nothing was merged")
	}
	momentsClose(t, "after errors", m, &before, 0)
	if m.N() != 2 || m.Dim() != 2 || m.Mean()[1] != 3 || m.Cov().At(0, 0) != 2 {
		t.Errorf("N=%d Dim=%d mean=%v var=%v", m.N(), m.Dim(), m.Mean(), m.Cov().At(0, 0))
	}
	if one := momentsOf(t, []float64{5}, 1); one.Cov().At(0, 0) != 0 {
		t.Error("covariance of one vector is not zero")
	}
}
