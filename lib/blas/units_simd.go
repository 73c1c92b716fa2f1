//go:build goexperiment.simd && amd64

package blas

import (
	"simd/archsimd"
	"unsafe"
)

// units are the ways of doing the arithmetic here, the best first.
var units = func() (us []*unit) {
	if archsimd.X86.AVX512() {
		us = append(us, &unit{
			name: "AVX-512", lanes: 16, copyRows: copyRowsX8, transpose8: transpose8X8,
			kernels: [4][4]func(*task){2: {2: kernel2x2x16, 3: kernel2x3x16}, 3: {2: kernel3x2x16, 3: kernel3x3x16}},
		})
	}
	if archsimd.X86.AVX2() {
		us = append(us, &unit{
			name: "AVX2", lanes: 8, copyRows: copyRowsX8, transpose8: transpose8X8,
			kernels: [4][4]func(*task){2: {2: kernel2x2x8, 3: kernel2x3x8}, 3: {2: kernel3x2x8, 3: kernel3x3x8}},
		})
	}
	return append(us, &plain)
}()

// panel returns the panel of a task, checked to hold what a kernel of so many columns reads, and its rows' distance in
// bytes. The kernels check the bounds of a at every element instead: these branches cut their loops where a row of the
// tile ends, and the compiler, which puts the last additions of a block behind all of its products, would otherwise
// run out of registers for the products.
func panel(t *task, cols int) (b unsafe.Pointer, step uintptr) {
	_ = t.b[(t.k-1)*t.bStep+cols-1]
	return unsafe.Pointer(unsafe.SliceData(t.b)), uintptr(t.bStep) * unsafe.Sizeof(t.b[0])
}

func copyRowsX8(dst []float32, cols int, src []float32, from, rows int) {
	for p := range rows {
		d, s := dst[p*cols:][:cols], src[p*from:][:cols]
		for len(d) >= 8 && len(s) >= 8 {
			archsimd.LoadFloat32x8Slice(s).StoreSlice(d)
			d, s = d[8:], s[8:]
		}
	}
}

// transpose8X8 turns blocks of eight by eight in registers: pairs of rows, then quadruples, then halves.
func transpose8X8(dst []float32, to int, src []float32, from, n int) {
	for p := 0; p < n; p += 8 {
		u0, u1, u2, u3 := quadruple(src[p:], from)
		v0, v1, v2, v3 := quadruple(src[p+4*from:], from)
		d := dst[p*to:]
		u0.Select128FromPair(0, 2, v0).StoreSlice(d)
		u1.Select128FromPair(0, 2, v1).StoreSlice(d[to:])
		u2.Select128FromPair(0, 2, v2).StoreSlice(d[2*to:])
		u3.Select128FromPair(0, 2, v3).StoreSlice(d[3*to:])
		u0.Select128FromPair(1, 3, v0).StoreSlice(d[4*to:])
		u1.Select128FromPair(1, 3, v1).StoreSlice(d[5*to:])
		u2.Select128FromPair(1, 3, v2).StoreSlice(d[6*to:])
		u3.Select128FromPair(1, 3, v3).StoreSlice(d[7*to:])
	}
}

// quadruple reads eight columns of four rows: vector i holds column i of them all, and then column 4+i.
func quadruple(src []float32, from int) (u0, u1, u2, u3 archsimd.Float32x8) {
	r0, r1 := archsimd.LoadFloat32x8Slice(src), archsimd.LoadFloat32x8Slice(src[from:])
	r2, r3 := archsimd.LoadFloat32x8Slice(src[2*from:]), archsimd.LoadFloat32x8Slice(src[3*from:])
	a, b := r0.SelectFromPairGrouped(0, 1, 4, 5, r1), r0.SelectFromPairGrouped(2, 3, 6, 7, r1)
	c, d := r2.SelectFromPairGrouped(0, 1, 4, 5, r3), r2.SelectFromPairGrouped(2, 3, 6, 7, r3)
	return a.SelectFromPairGrouped(0, 2, 4, 6, c), a.SelectFromPairGrouped(1, 3, 5, 7, c),
		b.SelectFromPairGrouped(0, 2, 4, 6, d), b.SelectFromPairGrouped(1, 3, 5, 7, d)
}
