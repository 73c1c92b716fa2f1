package blas

// plain does the arithmetic without the vector instructions of simd/archsimd.
var plain = newPlain()

func newPlain() unit {
	u := unit{name: "scalar", lanes: maxLanes, copyRows: copyRows, transpose8: transpose8}
	for rows := 2; rows <= kernelRows; rows++ {
		for vectors := 2; vectors <= kernelVectors; vectors++ {
			u.kernels[rows][vectors] = func(t *task) { plainKernel(t, rows) }
		}
	}
	return u
}

// plainKernel adds whole rows of the panel at a time: long enough for a good loop, and only the columns there are.
func plainKernel(t *task, rows int) {
	for r := range rows {
		sum := t.tile[r*tileStride:][:t.cols]
		clear(sum)
		for p := range t.k {
			axpy(sum, t.b[p*t.bStep:][:len(sum)], t.a[r*t.aRow+p*t.aStep])
		}
		dst := t.c[r*t.cRow:][:len(sum)]
		if t.beta == 0 {
			for j, v := range sum {
				dst[j] = float32(t.alpha * v)
			}
		} else {
			for j, v := range sum {
				dst[j] = float32(t.alpha*v) + float32(t.beta*dst[j])
			}
		}
	}
}

func copyRows(dst []float32, cols int, src []float32, from, rows int) {
	for p := range rows {
		copy(dst[p*cols:][:cols], src[p*from:])
	}
}

func transpose8(dst []float32, to int, src []float32, from, n int) {
	for j := range 8 {
		for p, v := range src[j*from:][:n] {
			dst[p*to+j] = v
		}
	}
}

// axpyLoop adds x·a to y. The conversion keeps compilers from fusing the two operations.
func axpyLoop(y, x []float32, a float32) {
	for i, v := range x {
		y[i] += float32(a * v)
	}
}
