package linalg

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// square is an n x n matrix with row stride ld.
type square struct {
	n, ld int
	data  []float64
}

func (s square) at(i, j int) float64 { return s.data[i*s.ld+j] }

// gram returns x·xᵀ for normally distributed x [n, k]. The matrix has rank min(n, k). In half, the lower triangle,
// which must not be read, is NaN.
func gram(rng *rand.Rand, n, k int) (full, half square) {
	x := make([]float64, n*k)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	full = square{n, n + rng.IntN(3), nil}
	full.data = make([]float64, n*full.ld)
	half = square{n, full.ld, make([]float64, n*full.ld)}
	for i := range n {
		for j := range n {
			for l := range k {
				full.data[i*full.ld+j] += x[i*k+l] * x[j*k+l]
			}
			half.data[i*full.ld+j] = full.at(i, j)
			if j < i {
				half.data[i*full.ld+j] = math.NaN()
			}
		}
	}
	return full, half
}

// product returns (sᵀ·s)(i, j).
func (s square) product(i, j int) (v float64) {
	for k := range s.n {
		v += s.at(k, i) * s.at(k, j)
	}
	return v
}

// sizes includes sizes close to the block sizes of LAPACK and of this package.
var sizes = []int{1, 2, 3, 7, 31, 32, 33, 64, 65, 100, 300}

func TestCholesky(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 1))
	for _, n := range sizes {
		full, a := gram(rng, n, n+5)
		if err := Cholesky(n, a.data, a.ld); err != nil {
			t.Fatalf("n=%d: %v", n, err)
		}
		for i := range n {
			for j := range n {
				if j < i && a.at(i, j) != 0 {
					t.Fatalf("n=%d: the factor has %g at (%d, %d), below the diagonal, want 0", n, a.at(i, j), i, j)
				}
				if d := math.Abs(a.product(i, j) - full.at(i, j)); d > 1e-13*float64(n+5)*4 {
					t.Fatalf("n=%d: the product of the factors differs from the matrix by %g at (%d, %d)", n, d, i, j)
				}
			}
		}
	}
	if err := Cholesky(2, []float64{1, 2, 0, 1}, 2); !errors.Is(err, ErrNotPositiveDefinite) {
		t.Errorf("an indefinite matrix: error is %v, want %v", err, ErrNotPositiveDefinite)
	}
}

func TestPivotedCholesky(t *testing.T) {
	rng := rand.New(rand.NewPCG(22, 1))
	for _, n := range sizes {
		for _, want := range []int{n, (n + 1) / 2, 1} {
			full, a := gram(rng, n, want)
			pivots := make([]int, n)
			tol := float64(n) * 1e-14 * float64(n)
			rank, err := PivotedCholesky(n, a.data, a.ld, tol, pivots)
			if err != nil || rank > want || want < n && rank != want {
				t.Fatalf("n=%d: rank %d (%v), want %d, or if that equals n, at most n", n, rank, err, want)
			}
			sorted := slices.Clone(pivots)
			slices.Sort(sorted)
			for i := range n {
				if sorted[i] != i {
					t.Fatalf("n=%d: pivots %v, want a permutation", n, pivots)
				}
				if i > 0 && i < rank && a.at(i, i) > a.at(i-1, i-1)*(1+1e-12) {
					t.Fatalf("n=%d: pivot %d is larger than the one before", n, i)
				}
				for j := range n {
					if (j < i || i >= rank) && a.at(i, j) != 0 {
						t.Fatalf("n=%d, rank %d: the factor has %g at (%d, %d), want 0", n, rank, a.at(i, j), i, j)
					}
					if d := math.Abs(a.product(i, j) - full.at(pivots[i], pivots[j])); d > 2*tol+1e-13*float64(n+5)*4 {
						t.Fatalf("n=%d, rank %d: the product of the factors differs from the permuted matrix by %g at (%d, %d)",
							n, rank, d, i, j)
					}
				}
			}
		}
	}
	// If the first pivot is within the tolerance, the rank is 0.
	a, pivots := []float64{1, 0.5, 0, 1}, make([]int, 2)
	rank, err := PivotedCholesky(2, a, 2, 1, pivots)
	if rank != 0 || err != nil || !slices.Equal(a, make([]float64, 4)) || pivots[1] != 1 {
		t.Errorf("no pivot above the tolerance: rank %d (%v), factor %v, pivots %v; want rank 0, zeros and [0 1]",
			rank, err, a, pivots)
	}
	if _, err := PivotedCholesky(2, a, 2, math.NaN(), pivots); err == nil {
		t.Errorf("a tolerance of NaN was accepted")
	}
}

// The sum of the eigenvalues is the trace of the matrix, and the sum of their squares is the trace of its square. For
// matrices with known eigenvalues, the results agree with the known values.
func TestEigenvalues(t *testing.T) {
	rng := rand.New(rand.NewPCG(23, 1))
	for _, n := range sizes {
		full, a := gram(rng, n, max(1, n-rng.IntN(n)))
		for i := range n { // indefinite
			full.data[i*full.ld+i] -= float64(n)
			a.data[i*a.ld+i] -= float64(n)
		}
		values := make([]float64, n)
		if err := Eigenvalues(n, a.data, a.ld, values); err != nil || !slices.IsSorted(values) {
			t.Fatalf("n=%d: eigenvalues %v (%v), want them in ascending order", n, values, err)
		}
		var sum, squares, trace, norm float64
		for i, v := range values {
			sum, squares = sum+v, squares+v*v
			trace += full.at(i, i)
			for j := range n {
				norm += full.at(i, j) * full.at(i, j)
			}
		}
		if math.Abs(sum-trace) > 1e-13*float64(n)*math.Sqrt(norm) || math.Abs(squares-norm) > 1e-13*float64(n)*norm {
			t.Errorf("n=%d: the sum of the eigenvalues is %g, want %g; the sum of their squares is %g, want %g",
				n, sum, trace, squares, norm)
		}
	}
	// The matrix of second differences has the eigenvalues 2 - 2cos(kπ/(n+1)). A reflection makes the matrix dense.
	for _, n := range sizes {
		values, v := make([]float64, n), make([]float64, n)
		var vv float64
		for i := range v {
			v[i] = rng.NormFloat64()
			vv += v[i] * v[i]
		}
		q := func(i, j int) float64 {
			if i == j {
				return 1 - 2*v[i]*v[j]/vv
			}
			return -2 * v[i] * v[j] / vv
		}
		a := make([]float64, n*n)
		for i := range n {
			for j := range n {
				for k := range n {
					s := 2 * q(k, j)
					if k > 0 {
						s -= q(k-1, j)
					}
					if k < n-1 {
						s -= q(k+1, j)
					}
					a[i*n+j] += q(i, k) * s
				}
			}
		}
		if err := Eigenvalues(n, a, n, values); err != nil {
			t.Fatal(err)
		}
		for k, got := range values {
			if want := 2 - 2*math.Cos(float64(k+1)*math.Pi/float64(n+1)); math.Abs(got-want) > 1e-14*float64(n+10) {
				t.Fatalf("n=%d: eigenvalue %d is %.17g, want %.17g", n, k, got, want)
			}
		}
	}
	// Test repeated eigenvalues, and matrices that are already tridiagonal or zero.
	for name, c := range map[string]struct {
		value func(i, j int) bool // whether element (i, j) is 1 instead of 0
		want  func(k, n int) float64
	}{
		"identity": {func(i, j int) bool { return i == j }, func(k, n int) float64 { return 1 }},
		"ones":     {func(i, j int) bool { return true }, func(k, n int) float64 { return float64(n) * from(k, n-1) }},
		"zeros":    {func(i, j int) bool { return false }, func(k, n int) float64 { return 0 }},
		"half":     {func(i, j int) bool { return i == j && i%2 == 0 }, func(k, n int) float64 { return from(k, n/2) }},
		"pairs":    {func(i, j int) bool { return i%2 == 0 && j == i+1 }, pairs},
	} {
		for _, n := range sizes {
			a, values := make([]float64, n*n), make([]float64, n)
			for i := range n {
				for j := i; j < n; j++ {
					if c.value(i, j) {
						a[i*n+j] = 1
					}
				}
			}
			if err := Eigenvalues(n, a, n, values); err != nil {
				t.Fatal(name, n, err)
			}
			for k, got := range values {
				if want := c.want(k, n); math.Abs(got-want) > 1e-14*float64(n+10) {
					t.Fatalf("%s, n=%d: eigenvalue %d is %.17g, want %.17g", name, n, k, got, want)
				}
			}
		}
	}
	// Test a matrix with a block whose values are negligible compared with the rest.
	tiny := []float64{1, 0, 0, 0, 2e-150, 1e-150, 0, 1e-150, 2e-150}
	values := make([]float64, 3)
	err := Eigenvalues(3, tiny, 3, values)
	if err != nil || values[2] != 1 || math.Abs(values[0])+math.Abs(values[1]) > 1e-15 {
		t.Errorf("the eigenvalues are %v (%v), want 0, 0, 1", values, err)
	}
	// Test values whose squares overflow or underflow, and zero.
	for _, scale := range []float64{0, 1e-200, 1e200} {
		values := make([]float64, 3)
		a := []float64{2 * scale, -scale, 0, 0, 2 * scale, -scale, 0, 0, 2 * scale}
		if err := Eigenvalues(3, a, 3, values); err != nil {
			t.Fatal(err)
		}
		for k, got := range values {
			if want := scale * (2 - 2*math.Cos(float64(k+1)*math.Pi/4)); math.Abs(got-want) > 1e-14*scale {
				t.Errorf("scale %g: eigenvalue %d is %g, want %g", scale, k, got, want)
			}
		}
	}
}

func from(k, first int) float64 {
	if k < first {
		return 0
	}
	return 1
}

// pairs returns the k-th eigenvalue of the n x n matrix with blocks (0 1; 1 0) along its diagonal. If n is odd, the
// last diagonal element is 0.
func pairs(k, n int) float64 { return from(k, n/2) + from(k, n-n/2) - 1 }

// Arguments with the wrong sizes panic, and values that are not finite are errors.
func TestFactorsCheckTheirArguments(t *testing.T) {
	long, pivots, values := make([]float64, 16), make([]int, 4), make([]float64, 4)
	for name, f := range map[string]func(){
		"short cholesky":       func() { Cholesky(4, make([]float64, 15), 4) },
		"short pivoted":        func() { PivotedCholesky(4, make([]float64, 15), 4, 0, pivots) },
		"few pivots":           func() { PivotedCholesky(4, long, 4, 0, pivots[:3]) },
		"short eigenvalues":    func() { Eigenvalues(4, make([]float64, 15), 4, values) },
		"few values":           func() { Eigenvalues(4, long, 4, values[:3]) },
		"stride below the row": func() { Cholesky(4, long, 3) },
		"negative":             func() { Cholesky(-1, long, 4) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s did not panic", name)
				}
			}()
			f()
		}()
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		a := []float64{1, bad, bad, 1}
		e1, e3 := Cholesky(2, a, 2), Eigenvalues(2, a, 2, values)
		_, e2 := PivotedCholesky(2, a, 2, 0, pivots)
		if e1 == nil || e2 == nil || e3 == nil {
			t.Errorf("%g in a matrix: errors %v, %v, %v; want one from every factorisation", bad, e1, e2, e3)
		}
	}
	if e1, e2 := Cholesky(0, nil, 1), Eigenvalues(0, nil, 1, nil); e1 != nil || e2 != nil {
		t.Errorf("empty matrix: errors %v and %v, want none", e1, e2)
	}
	if rank, err := PivotedCholesky(0, nil, 1, 0, nil); rank != 0 || err != nil {
		t.Errorf("empty matrix: rank %d (%v), want 0", rank, err)
	}
}

// Factorisations and products that run concurrently have the same bits as when they run alone.
func TestFactorsConcurrent(t *testing.T) {
	rng := rand.New(rand.NewPCG(24, 1))
	const n = 150
	_, half := gram(rng, n, n+5)
	x := make([]float32, n*n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	factor := func() []float64 {
		a := slices.Clone(half.data)
		if err := Cholesky(n, a, half.ld); err != nil {
			t.Error(err)
		}
		return a
	}
	pivoted := func() []float64 {
		a := slices.Clone(half.data)
		if _, err := PivotedCholesky(n, a, half.ld, 0, make([]int, n)); err != nil {
			t.Error(err)
		}
		return a
	}
	values := func() []float64 {
		v := make([]float64, n)
		if err := Eigenvalues(n, slices.Clone(half.data), half.ld, v); err != nil {
			t.Error(err)
		}
		return v
	}
	multiply := func() []float32 {
		c := make([]float32, n*n)
		MultiplyTransposed(n, n, n, x, n, x, n, c, n)
		return c
	}
	wantL, wantP, wantV, wantC := factor(), pivoted(), values(), multiply()
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			for range 3 {
				if !slices.Equal(factor(), wantL) || !slices.Equal(pivoted(), wantP) || !slices.Equal(values(), wantV) {
					t.Errorf("a concurrent factorisation has a different result")
					return
				}
			}
		})
		wait.Go(func() {
			for range 20 {
				if !slices.Equal(multiply(), wantC) {
					t.Errorf("a product concurrent with factorisations has a different result")
					return
				}
			}
		})
	}
	wait.Wait()
}

// Scaling a matrix by a power of two scales the results without rounding, even if squares of values overflow or
// underflow.
func TestFactorsScale(t *testing.T) {
	const n = 70
	_, half := gram(rand.New(rand.NewPCG(26, 1)), n, n+5)
	factor := func(exponent int) (u, values []float64) {
		u, a := make([]float64, n*half.ld), make([]float64, n*half.ld)
		for i, v := range half.data {
			u[i] = math.Ldexp(v, exponent)
			a[i] = u[i]
		}
		values = make([]float64, n)
		if err := errors.Join(Cholesky(n, u, half.ld), Eigenvalues(n, a, half.ld, values)); err != nil {
			t.Fatal(err)
		}
		return u, values
	}
	wantU, wantValues := factor(0)
	for _, exponent := range []int{-800, -600, 2, 600, 1000} {
		u, values := factor(exponent)
		for i := range n {
			for j := i; j < n; j++ {
				if got, want := u[i*half.ld+j], math.Ldexp(wantU[i*half.ld+j], exponent/2); got != want {
					t.Fatalf("2^%d: factor %g at (%d, %d), want %g", exponent, got, i, j, want)
				}
			}
			if got, want := values[i], math.Ldexp(wantValues[i], exponent); got != want {
				t.Fatalf("2^%d: eigenvalue %d is %g, want %g", exponent, i, got, want)
			}
		}
	}
}
