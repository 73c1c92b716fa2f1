package blas

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas"
	lapack "gonum.org/v1/gonum/lapack/gonum"
)

func (pureGo) Cholesky(n int, a []float64, lda int) error {
	if err := checkSquare("cholesky", n, a, lda); err != nil || n == 0 {
		return err
	}
	if !(lapack.Implementation{}).Dpotrf(blas.Upper, n, a, lda) {
		return ErrNotPositiveDefinite
	}
	clearLower(n, n, a, lda)
	return nil
}

func (pureGo) PivotedCholesky(n int, a []float64, lda int, tol float64, pivots []int) (int, error) {
	if rest, err := checkPivoted(n, a, lda, tol, pivots); err != nil || !rest {
		return 0, err
	}
	rank, _ := lapack.Implementation{}.Dpstrf(blas.Upper, n, a, lda, pivots, tol, make([]float64, 2*n))
	clearLower(n, rank, a, lda)
	return rank, nil
}

var errNoConvergence = errors.New("eigenvalues: no convergence")

// checkSquare panics where a is shorter than its shape says, as checkGemm does, and refuses what is not finite in the
// upper triangle, which is read: of LAPACK's routines some carry it on and some never end.
func checkSquare(what string, n int, a []float64, lda int) error {
	if n < 0 || n > math.MaxInt32 || lda > math.MaxInt32 {
		panic("blas: matrix without a size, or of one that the library cannot count")
	}
	if lda < max(1, n) {
		panic("blas: row stride shorter than a row")
	}
	if n > 0 && (n-1)*lda+n > len(a) {
		panic("blas: matrix longer than its slice")
	}
	for i := range n {
		for j, v := range a[i*lda+i : i*lda+n] {
			if v-v != 0 {
				return fmt.Errorf("%s: the matrix has %g at (%d, %d), expected finite values", what, v, i, i+j)
			}
		}
	}
	return nil
}

// checkPivoted also does the work where no pivot exceeds tol, as LAPACK does not ask that of the first.
func checkPivoted(n int, a []float64, lda int, tol float64, pivots []int) (rest bool, err error) {
	if len(pivots) < n {
		panic("blas: fewer pivots than rows")
	}
	if !(tol >= 0) {
		return false, fmt.Errorf("pivoted cholesky: a tolerance of %g, expected at least 0", tol)
	}
	if err := checkSquare("pivoted cholesky", n, a, lda); err != nil {
		return false, err
	}
	for i := range n {
		if a[i*lda+i] > tol {
			return true, nil
		}
	}
	for i := range n {
		pivots[i] = i
	}
	clearLower(n, 0, a, lda)
	return false, nil
}

func checkEigenvalues(n int, a []float64, lda int, values []float64) error {
	if len(values) < n {
		panic("blas: fewer eigenvalues than rows")
	}
	return checkSquare("eigenvalues", n, a, lda)
}

// clearLower zeroes what does not belong to an upper triangular factor of the given rank.
func clearLower(n, rank int, a []float64, lda int) {
	for i := range n {
		to := i
		if i >= rank {
			to = n
		}
		clear(a[i*lda : i*lda+to])
	}
}
