//go:build !(goexperiment.simd && amd64)

package blas

// units are the ways of doing the arithmetic here, the best first.
var units = []*unit{&plain}
