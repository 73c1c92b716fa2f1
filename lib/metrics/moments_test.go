package metrics

import (
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat"
)

// momentsClose requires that a and b agree within tol, relative to the scale of the data.
func momentsClose(t *testing.T, what string, a, b *Moments, tol float64) {
	t.Helper()
	if a.n != b.n {
		t.Fatalf("%s: N is %d in a, %d in b", what, a.n, b.n)
	}
	var scale, spread float64
	for i := range a.d {
		scale = math.Max(scale, math.Abs(b.mean[i]))
		spread = math.Max(spread, b.m2[i*a.d+i])
	}
	for i := range a.mean {
		if math.Abs(a.mean[i]-b.mean[i]) > tol*math.Max(scale, 1) {
			t.Fatalf("%s: mean[%d] is %.17g in a, %.17g in b", what, i, a.mean[i], b.mean[i])
		}
	}
	for i := range a.m2 {
		if math.Abs(a.m2[i]-b.m2[i]) > tol*spread {
			t.Fatalf("%s: M2[%d] is %.17g in a, %.17g in b", what, i, a.m2[i], b.m2[i])
		}
	}
}

// Merging is associative and commutative within 1e-12. Vectors added in pieces of any size give the same moments within
// 1e-12.
func TestMomentsMergeIsAssociative(t *testing.T) {
	for trial := range 60 {
		r := rand.New(rand.NewPCG(uint64(trial), 5))
		d := 1 + r.IntN(6)
		part := func() []float64 {
			n := r.IntN(600)
			if trial%4 == 0 {
				n = r.IntN(3 * addBlock)
			}
			return normals(r, n, d, 10*r.NormFloat64(), math.Exp(r.NormFloat64()))
		}
		x, y, z := part(), part(), part()
		a, b, c := momentsOf(t, x, d), momentsOf(t, y, d), momentsOf(t, z, d)
		merged := func(list ...*Moments) *Moments {
			m := NewMoments(d)
			for _, o := range list {
				m.merge(o)
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
		pieces := NewMoments(d)
		for rest := single(whole); len(rest) > 0; {
			n := min(len(rest), d*r.IntN(500))
			if err := pieces.Add(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		momentsClose(t, "pieces", left, pieces, 1e-12)
		for i := range d {
			for j := range d {
				if pieces.m2[i*d+j] != pieces.m2[j*d+i] {
					t.Fatalf("M2 is not symmetric at (%d, %d)", i, j)
				}
			}
		}
	}
}

// Moments and the Fréchet distance have the same bits on one core and on several.
func TestFrechetBitsDoNotDependOnCores(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	const d = 300
	r := rand.New(rand.NewPCG(3, 3))
	for _, n := range []int{d / 2, 1100} {
		x, y := single(normals(r, n, d, 1, 1)), single(normals(r, n, d, 0, 2))
		var want Frechet
		var wantM2 []float64
		for run, cores := range []int{1, 2, 5, 2} {
			runtime.GOMAXPROCS(cores)
			a, b := NewMoments(d), NewMoments(d)
			if err := errors.Join(a.Add(x), b.Add(y)); err != nil {
				t.Fatal(err)
			}
			f, err := FrechetDistance(a, b)
			if err != nil {
				t.Fatal(err)
			}
			if run == 0 {
				want, wantM2 = f, a.m2
			}
			if f.Value != want.Value || !slices.Equal(a.m2, wantM2) {
				t.Errorf("N=%d: %.17g on %d cores, %.17g on one", n, f.Value, cores, want.Value)
			}
		}
	}
}

func TestMomentsOfPublishedStatistics(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	const n, d = 90, 7
	x, y := momentsOf(t, normals(r, n, d, 1, 1), d), momentsOf(t, normals(r, n, d, 0, 2), d)
	want, err := FrechetDistance(x, y)
	if err != nil {
		t.Fatal(err)
	}
	known, err := NewMomentsOf(n, x.Mean(), x.Cov())
	if err != nil {
		t.Fatal(err)
	}
	momentsClose(t, "with N", known, x, 1e-14)
	unknown, err := NewMomentsOf(0, x.Mean(), x.Cov())
	if err != nil {
		t.Fatal(err)
	}
	same := slices.Equal(unknown.Cov(), x.Cov()) && slices.Equal(unknown.Mean(), x.Mean())
	if unknown.N() != 0 || unknown.Dim() != d || !same {
		t.Errorf("without N: N=%d, dimension %d, mean %v, covariance %v, want 0, %d, %v and %v",
			unknown.N(), unknown.Dim(), unknown.Mean(), unknown.Cov(), d, x.Mean(), x.Cov())
	}
	for _, m := range []*Moments{known, unknown} {
		for _, pair := range [][2]*Moments{{m, y}, {y, m}} {
			if got, err := FrechetDistance(pair[0], pair[1]); err != nil || relative(got.Value, want.Value) > 1e-12 {
				t.Errorf("N=%d: %v, %v, want %v", m.N(), got, err, want)
			}
		}
	}
	// An unknown N on one side gives no warning. It does not suppress the warning for the other side.
	singular := momentsOf(t, normals(r, d, d, 0, 2), d)
	if f, err := FrechetDistance(unknown, unknown); err != nil || len(f.Warnings) > 0 || f.Value > 1e-12 {
		t.Errorf("published statistics against themselves: %v (%v), want 0 and no warning", f, err)
	}
	if f, err := FrechetDistance(unknown, singular); err != nil || len(f.Warnings) != 1 {
		t.Errorf("d vectors against published statistics: %v (%v), want one warning", f, err)
	}
	// A singular covariance is recognised even if N is unknown.
	sparse, err := NewMomentsOf(0, singular.Mean(), singular.Cov())
	if err != nil {
		t.Fatal(err)
	}
	a, err1 := FrechetDistance(sparse, y)
	b, err2 := FrechetDistance(singular, y)
	if err1 != nil || err2 != nil || relative(a.Value, b.Value) > 1e-9 || a.Route != "pivoted" && b.Route != "pivoted" {
		t.Errorf("a singular covariance: %v (%v) without N, %v (%v) with N, want the same value, one pivoted",
			a, err1, b, err2)
	}
	if err := unknown.Add(make([]float32, d)); err == nil {
		t.Error("a vector was added to statistics of unknown N")
	}
	if err := known.Add(make([]float32, d)); err != nil || known.N() != n+1 {
		t.Errorf("adding a vector to statistics of a known N: N=%d (%v), want %d", known.N(), err, n+1)
	}
}

func TestMomentsOfRefuses(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, c := range map[string]struct {
		n         int64
		mean, cov []float64
		says      string
	}{
		"nothing":    {0, nil, nil, "0 values"},
		"lengths":    {0, []float64{1, 2}, []float64{1, 0, 1}, "expected 4"},
		"one vector": {1, []float64{1}, []float64{0}, "at least 2"},
		"negative n": {-5, []float64{1}, []float64{1}, "at least 2"},
		"mean":       {0, []float64{1, nan}, []float64{1, 0, 0, 1}, "component 1 of the mean"},
		"infinite":   {0, []float64{1, 2}, []float64{inf, 0, 0, 1}, "variance of component 0"},
		"variance":   {0, []float64{1, 2}, []float64{1, 0, 0, -1}, "variance of component 1"},
		"nan":        {0, []float64{1, 2}, []float64{1, nan, nan, 1}, "not symmetric"},
		"infinity":   {0, []float64{1, 2}, []float64{1, inf, inf, 1}, "not symmetric"},
		"triangles":  {0, []float64{1, 2}, []float64{1, 0.5, 0.5 + 2e-6, 1}, "not symmetric"},
	} {
		if _, err := NewMomentsOf(c.n, c.mean, c.cov); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v does not say %q", name, err, c.says)
		}
	}
	m, err := NewMomentsOf(0, []float64{1, 2}, []float64{1, 0.5, 0.5 + 5e-7, 1})
	if err != nil || m.Cov()[1] != m.Cov()[2] {
		t.Errorf("triangles that differ by rounding: %v (%v), want them to be averaged", m, err)
	}
}

func TestMomentsAgreeWithTwoPasses(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const n, d = 1000, 4
	// The mean is a million times the standard deviation: sums of squares would lose all digits.
	x := normals(r, n, d, 1e6, 1)
	m := momentsOf(t, x, d)
	cov := m.Cov()
	for i := range d {
		for j := range d {
			xi, xj := make([]float64, n), make([]float64, n)
			for k := range n {
				xi[k], xj[k] = float64(float32(x[k*d+i])), float64(float32(x[k*d+j]))
			}
			if got, want := cov[i*d+j], stat.Covariance(xi, xj, nil); math.Abs(got-want) > 1e-9 {
				t.Errorf("cov[%d,%d] = %.12g, want %.12g", i, j, got, want)
			}
		}
	}
}

func TestMomentsAreUnchangedAfterErrors(t *testing.T) {
	m := momentsOf(t, []float64{1, 2, 3, 4}, 2)
	before := *m
	if err := m.Add([]float32{1, 2, 3}); err == nil {
		t.Error("an incomplete row was added")
	}
	if err := m.Add([]float32{1, 2, 3, float32(math.NaN())}); err == nil {
		t.Error("NaN was added")
	}
	momentsClose(t, "after errors", m, &before, 0)
	if m.N() != 2 || m.Dim() != 2 || m.Mean()[1] != 3 || m.Cov()[0] != 2 {
		t.Errorf("N=%d, dimension %d, mean %v, variance %v, want 2, 2, a second mean of 3 and 2",
			m.N(), m.Dim(), m.Mean(), m.Cov()[0])
	}
	if one := momentsOf(t, []float64{5}, 1); one.Cov()[0] != 0 {
		t.Error("the covariance of one vector is not zero")
	}
}
