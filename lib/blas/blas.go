// Package blas finds a fast dense linear algebra library at run time.
//
// OpenBLAS is opened with dlopen where it is installed, so no C compiler is ever needed to build; where it is
// absent this package and gonum do the same work in Go. Which of the two ran
// is part of a result's identity (the backend class, and so the cache key), because their roundings differ: a caller
// chooses one explicitly or asks for the best and records the name.
//
// Every product is single-threaded on purpose. Callers split work into tiles whose sizes depend on the shape
// alone, so that a result never depends on how many cores the machine has.
package blas

import "fmt"

// Library multiplies matrices. All matrices are row-major; lda, ldb and ldc are row strides in elements.
// Methods are safe for concurrent use; products do not allocate. A slice shorter than its shape says is a panic.
type Library interface {
	// Class is the short name recorded with results: "openblas" or "go".
	Class() string
	// Version describes the implementation for people, for example "OpenBLAS 0.3.21 (Zen)".
	Version() string
	// Sgemm computes c = alpha·op(a)·op(b) + beta·c in float32, op(a) being [m,k], op(b) [k,n] and c [m,n].
	Sgemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int)
	// Dgemm is Sgemm in float64.
	Dgemm(transA, transB bool, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int)
}

// Gemm dispatches on the element type; see Library.Sgemm for the meaning of the arguments.
func Gemm[T float32 | float64](l Library, transA, transB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int) {
	switch a := any(a).(type) {
	case []float32:
		l.Sgemm(transA, transB, m, n, k, float32(alpha), a, lda, any(b).([]float32), ldb, float32(beta), any(c).([]float32), ldc)
	case []float64:
		l.Dgemm(transA, transB, m, n, k, float64(alpha), a, lda, any(b).([]float64), ldb, float64(beta), any(c).([]float64), ldc)
	}
}

// Open returns the library of the given class: "openblas", "go", or "auto" for OpenBLAS where it is
// installed and pure Go otherwise.
func Open(class string) (Library, error) {
	switch class {
	case "go":
		return pureGo{}, nil
	case "openblas":
		return openBLAS()
	case "auto":
		if l, err := openBLAS(); err == nil {
			return l, nil
		}
		return pureGo{}, nil
	}
	return nil, fmt.Errorf("blas library %q is not known: expected openblas, go or auto", class)
}
