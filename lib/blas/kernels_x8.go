//go:build goexperiment.simd && amd64

package blas

import (
	"simd/archsimd"
	"unsafe"
)

// Each kernelRxVx8 does a task of R rows and V vectors of 8 elements.

func kernel3x3x8(t *task) {
	var c00, c01, c02, c10, c11, c12, c20, c21, c22 archsimd.Float32x8
	a, row, aStep := t.a, t.aRow, t.aStep
	b, bStep := panel(t, 24)
	i, l := 0, uintptr(0)
	for range t.k {
		r := (*[24]float32)(unsafe.Add(b, l))
		b0 := archsimd.LoadFloat32x8Slice(r[:])
		b1 := archsimd.LoadFloat32x8Slice(r[8:])
		b2 := archsimd.LoadFloat32x8Slice(r[16:])
		x := archsimd.BroadcastFloat32x8(a[i])
		c00 = c00.Add(x.Mul(b0))
		c01 = c01.Add(x.Mul(b1))
		c02 = c02.Add(x.Mul(b2))
		x = archsimd.BroadcastFloat32x8(a[i+row])
		c10 = c10.Add(x.Mul(b0))
		c11 = c11.Add(x.Mul(b1))
		c12 = c12.Add(x.Mul(b2))
		x = archsimd.BroadcastFloat32x8(a[i+2*row])
		c20 = c20.Add(x.Mul(b0))
		c21 = c21.Add(x.Mul(b1))
		c22 = c22.Add(x.Mul(b2))
		i += aStep
		l += bStep
	}
	alpha, beta, old := archsimd.BroadcastFloat32x8(t.alpha), archsimd.BroadcastFloat32x8(t.beta), t.beta != 0
	o := (*[24]float32)(t.c[:])
	put8(o[:], c00, alpha, beta, old)
	put8(o[8:], c01, alpha, beta, old)
	put8(o[16:], c02, alpha, beta, old)
	o = (*[24]float32)(t.c[t.cRow:])
	put8(o[:], c10, alpha, beta, old)
	put8(o[8:], c11, alpha, beta, old)
	put8(o[16:], c12, alpha, beta, old)
	o = (*[24]float32)(t.c[2*t.cRow:])
	put8(o[:], c20, alpha, beta, old)
	put8(o[8:], c21, alpha, beta, old)
	put8(o[16:], c22, alpha, beta, old)
	archsimd.ClearAVXUpperBits()
}

func kernel3x2x8(t *task) {
	var c00, c01, c10, c11, c20, c21 archsimd.Float32x8
	a, row, aStep := t.a, t.aRow, t.aStep
	b, bStep := panel(t, 16)
	i, l := 0, uintptr(0)
	for range t.k {
		r := (*[16]float32)(unsafe.Add(b, l))
		b0 := archsimd.LoadFloat32x8Slice(r[:])
		b1 := archsimd.LoadFloat32x8Slice(r[8:])
		x := archsimd.BroadcastFloat32x8(a[i])
		c00 = c00.Add(x.Mul(b0))
		c01 = c01.Add(x.Mul(b1))
		x = archsimd.BroadcastFloat32x8(a[i+row])
		c10 = c10.Add(x.Mul(b0))
		c11 = c11.Add(x.Mul(b1))
		x = archsimd.BroadcastFloat32x8(a[i+2*row])
		c20 = c20.Add(x.Mul(b0))
		c21 = c21.Add(x.Mul(b1))
		i += aStep
		l += bStep
	}
	alpha, beta, old := archsimd.BroadcastFloat32x8(t.alpha), archsimd.BroadcastFloat32x8(t.beta), t.beta != 0
	o := (*[16]float32)(t.c[:])
	put8(o[:], c00, alpha, beta, old)
	put8(o[8:], c01, alpha, beta, old)
	o = (*[16]float32)(t.c[t.cRow:])
	put8(o[:], c10, alpha, beta, old)
	put8(o[8:], c11, alpha, beta, old)
	o = (*[16]float32)(t.c[2*t.cRow:])
	put8(o[:], c20, alpha, beta, old)
	put8(o[8:], c21, alpha, beta, old)
	archsimd.ClearAVXUpperBits()
}

func kernel2x3x8(t *task) {
	var c00, c01, c02, c10, c11, c12 archsimd.Float32x8
	a, row, aStep := t.a, t.aRow, t.aStep
	b, bStep := panel(t, 24)
	i, l := 0, uintptr(0)
	for range t.k {
		r := (*[24]float32)(unsafe.Add(b, l))
		b0 := archsimd.LoadFloat32x8Slice(r[:])
		b1 := archsimd.LoadFloat32x8Slice(r[8:])
		b2 := archsimd.LoadFloat32x8Slice(r[16:])
		x := archsimd.BroadcastFloat32x8(a[i])
		c00 = c00.Add(x.Mul(b0))
		c01 = c01.Add(x.Mul(b1))
		c02 = c02.Add(x.Mul(b2))
		x = archsimd.BroadcastFloat32x8(a[i+row])
		c10 = c10.Add(x.Mul(b0))
		c11 = c11.Add(x.Mul(b1))
		c12 = c12.Add(x.Mul(b2))
		i += aStep
		l += bStep
	}
	alpha, beta, old := archsimd.BroadcastFloat32x8(t.alpha), archsimd.BroadcastFloat32x8(t.beta), t.beta != 0
	o := (*[24]float32)(t.c[:])
	put8(o[:], c00, alpha, beta, old)
	put8(o[8:], c01, alpha, beta, old)
	put8(o[16:], c02, alpha, beta, old)
	o = (*[24]float32)(t.c[t.cRow:])
	put8(o[:], c10, alpha, beta, old)
	put8(o[8:], c11, alpha, beta, old)
	put8(o[16:], c12, alpha, beta, old)
	archsimd.ClearAVXUpperBits()
}

func kernel2x2x8(t *task) {
	var c00, c01, c10, c11 archsimd.Float32x8
	a, row, aStep := t.a, t.aRow, t.aStep
	b, bStep := panel(t, 16)
	i, l := 0, uintptr(0)
	for range t.k {
		r := (*[16]float32)(unsafe.Add(b, l))
		b0 := archsimd.LoadFloat32x8Slice(r[:])
		b1 := archsimd.LoadFloat32x8Slice(r[8:])
		x := archsimd.BroadcastFloat32x8(a[i])
		c00 = c00.Add(x.Mul(b0))
		c01 = c01.Add(x.Mul(b1))
		x = archsimd.BroadcastFloat32x8(a[i+row])
		c10 = c10.Add(x.Mul(b0))
		c11 = c11.Add(x.Mul(b1))
		i += aStep
		l += bStep
	}
	alpha, beta, old := archsimd.BroadcastFloat32x8(t.alpha), archsimd.BroadcastFloat32x8(t.beta), t.beta != 0
	o := (*[16]float32)(t.c[:])
	put8(o[:], c00, alpha, beta, old)
	put8(o[8:], c01, alpha, beta, old)
	o = (*[16]float32)(t.c[t.cRow:])
	put8(o[:], c10, alpha, beta, old)
	put8(o[8:], c11, alpha, beta, old)
	archsimd.ClearAVXUpperBits()
}

// put8 writes dst = alpha·v + beta·dst, or without reading dst where its old value does not count.
func put8(dst []float32, v, alpha, beta archsimd.Float32x8, old bool) {
	v = alpha.Mul(v)
	if old {
		v = v.Add(beta.Mul(archsimd.LoadFloat32x8Slice(dst)))
	}
	v.StoreSlice(dst)
}
