package linalg

import (
	"math"
	"math/rand/v2"
	"testing"
)

func uniform(rng *rand.Rand, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = rng.Float64() - 0.5
	}
	return x
}

// Products agree with their definition, also at the sizes of panels, tiles and runs of terms. They write nothing
// outside the result.
func TestProducts(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 1))
	const canary = -12345.5
	for trial := range 60 {
		m, n, k := 1+rng.IntN(150), 1+rng.IntN(420), 1+rng.IntN(600)
		if trial < 6 {
			m, n, k = []int{16, 64, 65}[trial%3], []int{48, 192, 193}[trial%3], []int{1, 256, 257}[trial%3]
		}
		lda, ldb, ldc := k+rng.IntN(3), k+rng.IntN(3), n+rng.IntN(3)
		a, b, c := uniform(rng, m*lda), uniform(rng, n*ldb), make([]float64, m*ldc+5)
		for i := range c {
			c[i] = canary
		}
		MultiplyTransposed(m, n, k, a, lda, b, ldb, c, ldc)
		for i := range m + 1 {
			for j := range ldc {
				if i == m && j >= 5 {
					break
				}
				want := canary
				if i < m && j < n {
					want = 0
					for p := range k {
						want += a[i*lda+p] * b[j*ldb+p]
					}
				}
				if got := c[i*ldc+j]; math.Abs(got-want) > 1e-14*float64(k) || want == canary && got != canary {
					t.Fatalf("%d by %d by %d: element (%d, %d) is %g, want %g", m, n, k, i, j, got, want)
				}
			}
		}
	}
}

// In float32, products of integers are exact as long as the sums stay below 2²⁴.
func TestProductsOfIntegers(t *testing.T) {
	rng := rand.New(rand.NewPCG(32, 1))
	const m, n, k = 70, 100, 1024
	a, b, c := make([]float32, m*k), make([]float32, n*k), make([]float32, m*n)
	for _, x := range [][]float32{a, b} {
		for i := range x {
			x[i] = float32(rng.IntN(256) - 128)
		}
	}
	MultiplyTransposed(m, n, k, a, k, b, k, c, n)
	for i := range m {
		for j := range n {
			var want int
			for p := range k {
				want += int(a[i*k+p]) * int(b[j*k+p])
			}
			if int(c[i*n+j]) != want {
				t.Fatalf("element (%d, %d) is %g, want %d", i, j, c[i*n+j], want)
			}
		}
	}
}

func TestAddGram(t *testing.T) {
	rng := rand.New(rand.NewPCG(33, 1))
	for _, s := range [][2]int{{1, 1}, {3, 50}, {256, 17}, {300, 193}, {600, 260}} {
		n, d := s[0], s[1]
		ldx, ldc := d+1, d+2
		x, c := uniform(rng, n*ldx), uniform(rng, d*ldc)
		before := append([]float64(nil), c...)
		AddGram(n, d, x, ldx, c, ldc)
		for i := range d {
			for j := i; j < d; j++ {
				want := before[i*ldc+j]
				for r := range n {
					want += x[r*ldx+i] * x[r*ldx+j]
				}
				if got := c[i*ldc+j]; math.Abs(got-want) > 1e-14*float64(n) {
					t.Fatalf("%d rows of %d: element (%d, %d) is %g, want %g", n, d, i, j, got, want)
				}
			}
		}
	}
}

func TestCongruence(t *testing.T) {
	rng := rand.New(rand.NewPCG(34, 1))
	for _, size := range [][2]int{{0, 3}, {1, 1}, {3, 50}, {65, 65}, {100, 280}, {300, 300}} {
		rank, d := size[0], size[1]
		u, s := uniform(rng, rank*d), uniform(rng, d*d)
		for i := range d {
			for j := range i {
				s[i*d+j] = s[j*d+i]
				if i < rank {
					u[i*d+j] = 0
				}
			}
		}
		c, work := make([]float64, rank*rank), make([]float64, rank*d)
		for i := range work {
			work[i] = math.NaN() // the previous content must not matter
		}
		Congruence(rank, d, u, s, c, work)
		us := make([]float64, rank*d)
		for i := range rank {
			for j := range d {
				for k := range d {
					us[i*d+j] += u[i*d+k] * s[k*d+j]
				}
			}
		}
		for i := range rank {
			for j := i; j < rank; j++ {
				var want float64
				for k := range d {
					want += us[i*d+k] * u[j*d+k]
				}
				if got := c[i*rank+j]; !(math.Abs(got-want) < 1e-14*float64(d*d)) {
					t.Fatalf("rank %d of %d: element (%d, %d) is %g, want %g", rank, d, i, j, got, want)
				}
			}
		}
	}
}
