package metrics

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

func TestFrechetAgreesWithSciPy(t *testing.T) {
	for _, g := range readGolden(t).Frechet {
		t.Run(g.Name, func(t *testing.T) {
			x, d := goldenData(g.A)
			y, _ := goldenData(g.B)
			a, b := momentsOf(t, x, d), momentsOf(t, y, d)
			for _, pair := range [][2]*Moments{{a, b}, {b, a}} {
				f, err := FrechetDistance(pair[0], pair[1])
				if err != nil {
					t.Fatal(err)
				}
				if relative(f.Value, g.Value) > 1e-6 {
					t.Errorf("%s route: %.12g, SciPy has %.12g", f.Route, f.Value, g.Value)
				}
				// Either covariance may be factored if both sets have the same size.
				regular := min(a.N(), b.N()) > int64(d) && g.A[4] > 0
				if want := routes[regular]; g.Name != "constant" && f.Route != want {
					t.Errorf("route %s, want %s", f.Route, want)
				}
				small := min(a.N(), b.N()) < 2*int64(d)
				if (len(f.Warnings) > 0) != small {
					t.Errorf("N=%d, %d for d=%d: warnings %q, want some: %v", a.N(), b.N(), d, f.Warnings, small)
				}
			}
		})
	}
}

// routes are the expected routes for a regular and a singular covariance.
var routes = map[bool]string{true: "cholesky", false: "pivoted"}

// byEigenvectors computes Tr sqrt(a·b) by a third method, with gonum: it factors a = R·Rᵀ by the eigenvectors of a.
func byEigenvectors(t *testing.T, d int, a, b []float64) (sum float64) {
	t.Helper()
	values := func(s []float64, vectors *mat.Dense) []float64 {
		var eig mat.EigenSym
		if !eig.Factorize(mat.NewSymDense(int(math.Sqrt(float64(len(s)))), s), vectors != nil) {
			t.Fatal("no convergence")
		}
		if vectors != nil {
			eig.VectorsTo(vectors)
		}
		return eig.Values(nil)
	}
	var r, br, rbr mat.Dense
	first := values(a, &r)
	for j, v := range first {
		root := 0.0
		if v > roundingFloor(first) {
			root = math.Sqrt(v)
		}
		for i := range d {
			r.Set(i, j, r.At(i, j)*root)
		}
	}
	br.Mul(mat.NewDense(d, d, b), &r)
	rbr.Mul(r.T(), &br)
	product := values(rbr.RawMatrix().Data, nil)
	for _, v := range product {
		if v > roundingFloor(product) {
			sum += math.Sqrt(v)
		}
	}
	return sum
}

// Both routes give the same result, and the ranks decide which route is taken. Some sizes are close to the sizes of
// tiles.
func TestFrechetRoutesAgree(t *testing.T) {
	for trial := range 24 {
		r := rand.New(rand.NewPCG(uint64(trial), 6))
		d := 1 + r.IntN(30)
		if trial%6 == 0 {
			d = []int{255, 256, 257, 300}[trial/6]
		}
		na, nb := d+2+r.IntN(2*d), d+2+r.IntN(2*d)
		if trial&1 > 0 {
			na = 2 + r.IntN(d)
		}
		if trial&2 > 0 {
			nb = 2 + r.IntN(d)
		}
		a := momentsOf(t, normals(r, na, d, 0, 1), d).Cov()
		b := momentsOf(t, normals(r, nb, d, 0, 2), d).Cov()
		want := byEigenvectors(t, d, a, b)
		for i, pair := range [][2][]float64{{a, b}, {b, a}} {
			got, route, err := traceSqrtProduct(d, pair[0], pair[1], d)
			if err != nil {
				t.Fatal(err)
			}
			if want := routes[i == 0 && na > d || i == 1 && nb > d]; route != want {
				t.Fatalf("d=%d N=%d, %d: route %s, want %s", d, na, nb, route, want)
			}
			if relative(got, want) > 1e-9 {
				t.Errorf("d=%d N=%d, %d: %.15g by the route %s, %.15g by eigenvectors", d, na, nb, got, route, want)
			}
		}
		// The pivoted route also works for regular covariances.
		if na > d {
			f, err := factorOf(d, a, false)
			if err != nil || f.rank != d {
				t.Fatalf("rank %d, want %d (%v)", f.rank, d, err)
			}
			got, err := traceSqrtCongruence(d, d, f.u, permuted(d, b, f.pivots))
			if err != nil || relative(got, want) > 1e-9 {
				t.Errorf("d=%d: %.15g with pivots, %.15g by eigenvectors, %v", d, got, want, err)
			}
		}
	}
}

// For commuting matrices S1 = Q·diag(x)·Qᵀ and S2 = Q·diag(y)·Qᵀ, Tr sqrt(S1·S2) = Σ sqrt(x·y). The result agrees with
// this formula even if the covariances are nearly singular, or if they are singular but no pivot is clearly zero.
func TestFrechetNearSingular(t *testing.T) {
	for trial := range 12 {
		r := rand.New(rand.NewPCG(uint64(trial), 7))
		d := 20 + r.IntN(60)
		// Q is a product of reflections.
		q := make([]float64, d*d)
		for i := range d {
			q[i*d+i] = 1
		}
		for range 5 {
			v := normals(r, 1, d, 0, 1)
			var vv float64
			for _, x := range v {
				vv += x * x
			}
			for i := range d {
				var dot float64
				for j, x := range v {
					dot += q[i*d+j] * x
				}
				for j, x := range v {
					q[i*d+j] -= 2 * dot / vv * x
				}
			}
		}
		x, y := make([]float64, d), make([]float64, d)
		var want float64
		for i := range d {
			// Condition numbers are up to 1e12, and a tenth of the values are zero.
			x[i], y[i] = math.Pow(10, -12*r.Float64()*float64(trial%3)/2), math.Pow(10, -6*r.Float64())
			if r.IntN(10) == 0 {
				x[i] = 0
			}
			want += math.Sqrt(x[i] * y[i])
		}
		s1, s2 := make([]float64, d*d), make([]float64, d*d)
		for i := range d {
			for j := range i + 1 {
				for k := range d {
					s1[i*d+j] += q[i*d+k] * x[k] * q[j*d+k]
					s2[i*d+j] += q[i*d+k] * y[k] * q[j*d+k]
				}
				s1[j*d+i], s2[j*d+i] = s1[i*d+j], s2[i*d+j]
			}
		}
		for _, pair := range [][2][]float64{{s1, s2}, {s2, s1}} {
			got, route, err := traceSqrtProduct(d, pair[0], pair[1], d)
			if err != nil || relative(got, want) > 1e-6 {
				t.Errorf("trial %d, d=%d, route %s: %.12g, want %.12g, %v", trial, d, route, got, want, err)
			}
		}
	}
}

// Diagonal covariances have the closed form Σ (m1-m2)² + (s1-s2)².
func TestFrechetClosedForm(t *testing.T) {
	const d = 5
	diagonal := func(mean, std [d]float64) *Moments {
		m := NewMoments(d)
		m.n = 101
		for i := range d {
			m.mean[i] = mean[i]
			m.m2[i*d+i] = 100 * std[i] * std[i]
		}
		return m
	}
	for trial := range 50 {
		r := rand.New(rand.NewPCG(uint64(trial), 9))
		var m1, m2, s1, s2 [d]float64
		var want float64
		for i := range d {
			m1[i], m2[i] = r.NormFloat64(), r.NormFloat64()
			s1[i], s2[i] = math.Exp(2*r.NormFloat64()), math.Exp(2*r.NormFloat64())
			if r.IntN(6) == 0 {
				s1[i] = 0
			}
			want += (m1[i]-m2[i])*(m1[i]-m2[i]) + (s1[i]-s2[i])*(s1[i]-s2[i])
		}
		f, err := FrechetDistance(diagonal(m1, s1), diagonal(m2, s2))
		if err != nil {
			t.Fatal(err)
		}
		if relative(f.Value, want) > 1e-9 || relative(f.MeanTerm+f.CovTerm, f.Value) > 1e-12 {
			t.Errorf("standard deviations %v and %v: %.12g with terms %.12g and %.12g, want %.12g as the distance and sum",
				s1, s2, f.Value, f.MeanTerm, f.CovTerm, want)
		}
	}
}

func TestFrechetOfEqualSetsIsZero(t *testing.T) {
	for _, n := range []int{5, 200} { // singular and regular, d = 16
		x := normals(rand.New(rand.NewPCG(1, 1)), n, 16, 0, 1)
		f, err := FrechetDistance(momentsOf(t, x, 16), momentsOf(t, x, 16))
		if err != nil {
			t.Fatal(err)
		}
		if f.Value < 0 || f.Value > 1e-10 {
			t.Errorf("N=%d: distance of a set from itself is %g, want 0", n, f.Value)
		}
	}
}

func TestFrechetRefuses(t *testing.T) {
	ok := momentsOf(t, []float64{1, 2, 3, 4}, 2)
	if _, err := FrechetDistance(ok, NewMoments(3)); err == nil {
		t.Error("dimensions 2 and 3 were compared")
	}
	_, err := FrechetDistance(ok, momentsOf(t, []float64{1, 2}, 2))
	refuses(t, "one vector", err, "at least 2")
	huge, err := NewMomentsOf(0, []float64{1e200, 0}, []float64{1, 0, 0, 1})
	if err != nil {
		t.Fatal(err)
	}
	if f, err := FrechetDistance(ok, huge); err == nil {
		t.Errorf("no error for overflow: %v", f)
	}
}

func BenchmarkFrechet(b *testing.B) {
	for _, d := range []int{128, 768, 2048} {
		b.Run(fmt.Sprint(d), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			x, y := momentsOf(b, normals(r, 2*d, d, 0, 1), d), momentsOf(b, normals(r, 2*d, d, 0, 1), d)
			for b.Loop() {
				if _, err := FrechetDistance(x, y); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMoments(b *testing.B) {
	const n, d = 2048, 2048
	x := single(normals(rand.New(rand.NewPCG(1, 1)), n, d, 0, 1))
	m := NewMoments(d)
	for b.Loop() {
		if err := m.Add(x); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
