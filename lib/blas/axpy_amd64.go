package blas

import "gonum.org/v1/gonum/blas/gonum"

// axpy is axpyLoop on gonum's assembly, whose vectors multiply and add apart too. It takes a zero for a reason to
// leave, which would lose the NaN of a zero times an infinity.
func axpy(y, x []float32, a float32) {
	if a == 0 {
		axpyLoop(y, x, a)
		return
	}
	gonum.Implementation{}.Saxpy(len(y), a, x, 1, y, 1)
}
