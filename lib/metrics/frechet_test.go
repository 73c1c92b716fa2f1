package metrics

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
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
				// One regular covariance is enough for the short route.
				regular := max(a.N(), b.N()) > int64(d) && g.A[4] > 0
				if want := map[bool]string{true: "cholesky", false: "eigen"}[regular]; g.Name != "constant" && f.Route != want {
					t.Errorf("route %s, want %s", f.Route, want)
				}
				small := min(a.N(), b.N()) < 2*int64(d)
				if (len(f.Warnings) > 0) != small {
					t.Errorf("N=%d, %d for d=%d: warnings %q", a.N(), b.N(), d, f.Warnings)
				}
			}
		})
	}
}

// Both routes compute the same thing where both apply.
func TestFrechetRoutesAgree(t *testing.T) {
	for trial := range 20 {
		r := rand.New(rand.NewPCG(uint64(trial), 6))
		d := 1 + r.IntN(30)
		a := momentsOf(t, normals(r, 3*d+2, d, 0, 1), d).Cov()
		b := momentsOf(t, normals(r, 2+r.IntN(3*d), d, 0, 2), d).Cov()
		short, route, err := traceSqrtProduct(a, b)
		if err != nil || route != "cholesky" {
			t.Fatalf("route %s, %v", route, err)
		}
		factor, err := semidefiniteFactor(a)
		if err != nil {
			t.Fatal(err)
		}
		long, err := traceSqrtCongruence(factor, b)
		if err != nil {
			t.Fatal(err)
		}
		if relative(short, long) > 1e-9 {
			t.Errorf("d=%d: %.15g by Cholesky, %.15g by eigenvectors", d, short, long)
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
			t.Errorf("stds %v and %v: %.12g, want %.12g", s1, s2, f.Value, want)
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
			t.Errorf("N=%d: distance of a set from itself is %g", n, f.Value)
		}
	}
}

func TestFrechetRefuses(t *testing.T) {
	ok := momentsOf(t, []float64{1, 2, 3, 4}, 2)
	if _, err := FrechetDistance(ok, NewMoments(3)); err == nil {
		t.Error("dimensions 2 and 3 were compared")
	}
	if _, err := FrechetDistance(ok, momentsOf(t, []float64{1, 2}, 2)); err == nil || !strings.Contains(err.Error(), "at least 2") {
		t.Errorf("one vector: %v", err)
	}
	huge := momentsOf(t, []float64{1e200, 1, -1e200, 2, 0, 5}, 2)
	if f, err := FrechetDistance(ok, huge); err == nil {
		t.Errorf("overflow gave %v", f)
	}
}

func BenchmarkFrechet(b *testing.B) {
	for _, d := range []int{128, 512} {
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
