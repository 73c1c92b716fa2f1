package linalg

import "golang.org/x/sys/cpu"

//go:noescape
func axpy512(n int, alpha float64, x, y *float64)

//go:noescape
func axpy256(n int, alpha float64, x, y *float64)

//go:noescape
func dot512(n int, x, y *float64, sums *[dotLanes]float64)

//go:noescape
func dot256(n int, x, y *float64, sums *[dotLanes]float64)

//go:noescape
func symv512(n int, a *float64, stride int, x, y *float64, weights *[symvRows]float64, sums *rowSums)

//go:noescape
func symv256(n int, a *float64, stride int, x, y *float64, weights *[symvRows]float64, sums *rowSums)

var (
	hasAVX2   = cpu.X86.HasAVX2 && cpu.X86.HasFMA
	hasAVX512 = hasAVX2 && cpu.X86.HasAVX512F
)

// axpyVectors, dotVectors and symvVectors do the work of axpy, dot and symv for the leading elements that fill whole
// vectors. They return the number of these elements. The callers have checked the lengths.

func axpyVectors(y []float64, alpha float64, x []float64) int {
	n := len(y) &^ 7
	switch {
	case n == 0:
	case hasAVX512:
		axpy512(n, alpha, &x[0], &y[0])
	case hasAVX2:
		axpy256(n, alpha, &x[0], &y[0])
	default:
		return 0
	}
	return n
}

func dotVectors(sums *[dotLanes]float64, x, y []float64) int {
	n := len(x) &^ (dotLanes - 1)
	switch {
	case n == 0:
	case hasAVX512:
		dot512(n, &x[0], &y[0], sums)
	case hasAVX2:
		dot256(n, &x[0], &y[0], sums)
	default:
		return 0
	}
	return n
}

func symvVectors(sums *rowSums, y []float64, weights *[symvRows]float64, a []float64, stride int, x []float64) int {
	n := len(x) &^ (symvLanes - 1)
	switch {
	case n == 0:
	case hasAVX512:
		symv512(n, &a[0], stride, &x[0], &y[0], weights, sums)
	case hasAVX2:
		symv256(n, &a[0], stride, &x[0], &y[0], weights, sums)
	default:
		return 0
	}
	return n
}
