package blas

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// pureGo is the library without a library: float32 products by the package's own kernels, float64 by gonum.
type pureGo struct{ impl gonum.Implementation }

func (pureGo) Class() string   { return "go" }
func (pureGo) Version() string { return "vapo sgemm (" + units[0].name + "), gonum dgemm" }

func trans(t bool) blas.Transpose {
	if t {
		return blas.Trans
	}
	return blas.NoTrans
}

func (pureGo) Sgemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	if m == 0 || n == 0 {
		return
	}
	checkGemm(transA, transB, m, n, k, len(a), lda, len(b), ldb, len(c), ldc)
	sgemm(units[0], m, n, k, alpha, stored(transA, a, lda), stored(transB, b, ldb), beta, matrix{c, ldc, 1})
}

func (p pureGo) Dgemm(transA, transB bool, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int) {
	p.impl.Dgemm(trans(transA), trans(transB), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

// checkGemm panics where a slice is shorter than its shape says: past this point a library in C would read or write
// outside it.
func checkGemm(transA, transB bool, m, n, k, la, lda, lb, ldb, lc, ldc int) {
	ra, ca, rb, cb := m, k, k, n
	if transA {
		ra, ca = k, m
	}
	if transB {
		rb, cb = n, k
	}
	if lda < max(1, ca) || ldb < max(1, cb) || ldc < max(1, n) {
		panic("blas: row stride shorter than a row")
	}
	if k > 0 && ((ra-1)*lda+ca > la || (rb-1)*ldb+cb > lb) || (m-1)*ldc+n > lc {
		panic("blas: matrix longer than its slice")
	}
}
