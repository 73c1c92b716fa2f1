package linalg

import "math"

// These are the vector operations that factorisations need besides products of blocks. The loops in Go define their
// results. If there is assembly for the machine, it processes the leading elements that fill whole vectors, with the
// same bits.

const (
	// dotLanes is the number of running sums of a dot product: element i is added to sum i%dotLanes.
	dotLanes = 16
	// symvRows is the number of rows that symv processes, and symvLanes is the number of running sums for each row.
	symvRows  = 4
	symvLanes = 8
)

// rowSums holds the running sums of symv.
type rowSums [symvRows][symvLanes]float64

// axpy computes y += alpha·x with fused multiply-adds.
func axpy(y []float64, alpha float64, x []float64) {
	x = x[:len(y)]
	n := axpyVectors(y, alpha, x)
	axpyLoop(y[n:], alpha, x[n:])
}

func axpyLoop(y []float64, alpha float64, x []float64) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = math.FMA(alpha, v, y[i])
	}
}

// dot returns the inner product of x and y.
func dot(x, y []float64) float64 {
	y = y[:len(x)]
	var sums [dotLanes]float64
	n := dotVectors(&sums, x, y)
	dotLoop(&sums, x[n:], y[n:])
	for half := dotLanes / 2; half > 0; half /= 2 {
		for i := range half {
			sums[i] += sums[i+half]
		}
	}
	return sums[0]
}

func dotLoop(sums *[dotLanes]float64, x, y []float64) {
	y = y[:len(x)]
	for i, v := range x {
		sums[i%dotLanes] = math.FMA(v, y[i], sums[i%dotLanes])
	}
}

// symv is one step of a product of a symmetric matrix and a vector. It reads four rows of one triangle. For the rows of
// a, [symvRows, len(x)], it computes
//
//	y += Σ weights[q]·row q   and   dots[q] = row q · x
func symv(y []float64, weights *[symvRows]float64, a []float64, stride int, x []float64) (dots [symvRows]float64) {
	if len(x) == 0 {
		return dots
	}
	y = y[:len(x)]
	a = a[:(symvRows-1)*stride+len(x)]
	var sums rowSums
	n := symvVectors(&sums, y, weights, a, stride, x)
	symvLoop(&sums, y, weights, a, stride, x, n)
	for q := range sums {
		s := &sums[q]
		dots[q] = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
	}
	return dots
}

// symvLoop adds the contributions of columns from, from+1, ... to y and to sums.
func symvLoop(sums *rowSums, y []float64, weights *[symvRows]float64, a []float64, stride int, x []float64, from int) {
	for j := from; j < len(x); j++ {
		for q, w := range weights {
			v := a[q*stride+j]
			y[j] = math.FMA(w, v, y[j])
			sums[q][j%symvLanes] = math.FMA(v, x[j], sums[q][j%symvLanes])
		}
	}
}
