//go:build goexperiment.simd && amd64

package blas

import "simd/archsimd"

func kernel3x3x8(t *task) {
	var c00, c01, c02, c10, c11, c12, c20, c21, c22 archsimd.Float32x8
	a, b, row := t.a, t.b, t.aRow
	i, l := 0, 0
	for range t.k {
		r := (*[24]float32)(b[l:])
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
		i += t.aStep
		l += t.bStep
	}
	c00.StoreSlice(t.tile[:])
	c01.StoreSlice(t.tile[8:])
	c02.StoreSlice(t.tile[16:])
	c10.StoreSlice(t.tile[tileStride:])
	c11.StoreSlice(t.tile[tileStride+8:])
	c12.StoreSlice(t.tile[tileStride+16:])
	c20.StoreSlice(t.tile[2*tileStride:])
	c21.StoreSlice(t.tile[2*tileStride+8:])
	c22.StoreSlice(t.tile[2*tileStride+16:])
}

func kernel3x2x8(t *task) {
	var c00, c01, c10, c11, c20, c21 archsimd.Float32x8
	a, b, row := t.a, t.b, t.aRow
	i, l := 0, 0
	for range t.k {
		r := (*[16]float32)(b[l:])
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
		i += t.aStep
		l += t.bStep
	}
	c00.StoreSlice(t.tile[:])
	c01.StoreSlice(t.tile[8:])
	c10.StoreSlice(t.tile[tileStride:])
	c11.StoreSlice(t.tile[tileStride+8:])
	c20.StoreSlice(t.tile[2*tileStride:])
	c21.StoreSlice(t.tile[2*tileStride+8:])
}

func kernel2x3x8(t *task) {
	var c00, c01, c02, c10, c11, c12 archsimd.Float32x8
	a, b, row := t.a, t.b, t.aRow
	i, l := 0, 0
	for range t.k {
		r := (*[24]float32)(b[l:])
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
		i += t.aStep
		l += t.bStep
	}
	c00.StoreSlice(t.tile[:])
	c01.StoreSlice(t.tile[8:])
	c02.StoreSlice(t.tile[16:])
	c10.StoreSlice(t.tile[tileStride:])
	c11.StoreSlice(t.tile[tileStride+8:])
	c12.StoreSlice(t.tile[tileStride+16:])
}

func kernel2x2x8(t *task) {
	var c00, c01, c10, c11 archsimd.Float32x8
	a, b, row := t.a, t.b, t.aRow
	i, l := 0, 0
	for range t.k {
		r := (*[16]float32)(b[l:])
		b0 := archsimd.LoadFloat32x8Slice(r[:])
		b1 := archsimd.LoadFloat32x8Slice(r[8:])
		x := archsimd.BroadcastFloat32x8(a[i])
		c00 = c00.Add(x.Mul(b0))
		c01 = c01.Add(x.Mul(b1))
		x = archsimd.BroadcastFloat32x8(a[i+row])
		c10 = c10.Add(x.Mul(b0))
		c11 = c11.Add(x.Mul(b1))
		i += t.aStep
		l += t.bStep
	}
	c00.StoreSlice(t.tile[:])
	c01.StoreSlice(t.tile[8:])
	c10.StoreSlice(t.tile[tileStride:])
	c11.StoreSlice(t.tile[tileStride+8:])
}
