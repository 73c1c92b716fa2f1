//go:build !amd64

package blas

func axpy(y, x []float32, a float32) { axpyLoop(y, x, a) }
