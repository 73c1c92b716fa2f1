package blas

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

func libraries(t testing.TB) []Library {
	goLib, err := Open("go")
	if err != nil {
		t.Fatal(err)
	}
	ls := []Library{goLib}
	if l, err := Open("openblas"); err == nil {
		ls = append(ls, l)
	} else if !errors.Is(err, ErrNoOpenBLAS) {
		t.Fatal(err)
	} else {
		t.Log("without OpenBLAS: ", err)
	}
	return ls
}

func naive(ta, tb bool, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int) {
	for i := range m {
		for j := range n {
			var s float64
			for l := range k {
				x, y := 0.0, 0.0
				if ta {
					x = a[l*lda+i]
				} else {
					x = a[i*lda+l]
				}
				if tb {
					y = b[j*ldb+l]
				} else {
					y = b[l*ldb+j]
				}
				s += x * y
			}
			c[i*ldc+j] = alpha*s + beta*c[i*ldc+j]
		}
	}
}

func TestGemmMatchesDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, l := range libraries(t) {
		for trial := range 60 {
			m, n, k := 1+rng.IntN(40), 1+rng.IntN(40), 1+rng.IntN(40)
			ta, tb := trial&1 == 1, trial&2 == 2
			ra, ca, rb, cb := m, k, k, n
			if ta {
				ra, ca = k, m
			}
			if tb {
				rb, cb = n, k
			}
			lda, ldb, ldc := ca+rng.IntN(3), cb+rng.IntN(3), n+rng.IntN(3)
			draw := func(n int) []float64 {
				v := make([]float64, n)
				for i := range v {
					v[i] = rng.NormFloat64()
				}
				return v
			}
			a, b, c := draw(ra*lda), draw(rb*ldb), draw(m*ldc)
			alpha, beta := rng.NormFloat64(), float64(trial%3)/2
			to32 := func(v []float64) []float32 {
				w := make([]float32, len(v))
				for i := range v {
					w[i] = float32(v[i])
				}
				return w
			}
			a32, b32, c32 := to32(a), to32(b), to32(c)
			c64 := append([]float64(nil), c...)
			naive(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
			Gemm(l, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c64, ldc)
			Gemm(l, ta, tb, m, n, k, float32(alpha), a32, lda, b32, ldb, float32(beta), c32, ldc)
			for i := range c {
				if math.Abs(c64[i]-c[i]) > 1e-12*(1+math.Abs(c[i])) {
					t.Fatalf("%s dgemm %v %v %dx%dx%d at %d: got %v, want %v", l.Class(), ta, tb, m, n, k, i, c64[i], c[i])
				}
				if math.Abs(float64(c32[i])-c[i]) > 2e-4*(1+math.Abs(c[i])) {
					t.Fatalf("%s sgemm %v %v %dx%dx%d at %d: got %v, want %v", l.Class(), ta, tb, m, n, k, i, c32[i], c[i])
				}
			}
		}
	}
}

func TestShortSlicePanics(t *testing.T) {
	for _, l := range libraries(t) {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: a matrix longer than its slice did not panic", l.Class())
				}
			}()
			l.Sgemm(false, false, 4, 4, 4, 1, make([]float32, 16), 4, make([]float32, 15), 4, 0, make([]float32, 16), 4)
		}()
	}
}

func TestUnknownClass(t *testing.T) {
	if _, err := Open("mkl"); err == nil {
		t.Fatal("an unknown class was accepted")
	}
}
