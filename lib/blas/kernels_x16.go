//go:build goexperiment.simd && amd64

package blas

import "simd/archsimd"

func kernel3x3x16(t *task) {
	var c00, c01, c02, c10, c11, c12, c20, c21, c22 archsimd.Float32x16
	a, b, row := t.a, t.b, t.aRow
	i, l := 0, 0
	for range t.k {
		r := (*[48]float32)(b[l:])
		b0 := archsimd.LoadFloat32x16Slice(r[:])
		b1 := archsimd.LoadFloat32x16Slice(r[16:])
		b2 := archsimd.LoadFloat32x16Slice(r[32:])
		x := archsimd.BroadcastFloat32x16(a[i])
		c00 = c00.Add(x.Mul(b0))
		c01 = c01.Add(x.Mul(b1))
		c02 = c02.Add(x.Mul(b2))
		x = archsimd.BroadcastFloat32x16(a[i+row])
		c10 = c10.Add(x.Mul(b0))
		c11 = c11.Add(x.Mul(b1))
		c12 = c12.Add(x.Mul(b2))
		x = archsimd.BroadcastFloat32x16(a[i+2*row])
		c20 = c20.Add(x.Mul(b0))
		c21 = c21.Add(x.Mul(b1))
		c22 = c22.Add(x.Mul(b2))
		i += t.aStep
		l += t.bStep
	}
	c00.StoreSlice(t.tile[:])
	c01.StoreSlice(t.tile[16:])
	c02.StoreSlice(t.tile[32:])
	c10.StoreSlice(t.tile[tileStride:])
	c11.StoreSlice(t.tile[tileStride+16:])
	c12.StoreSlice(t.tile[tileStride+32:])
	c20.StoreSlice(t.tile[2*tileStride:])
	c21.StoreSlice(t.tile[2*tileStride+16:])
	c22.StoreSlice(t.tile[2*tileStride+32:])
}

func kernel3x2x16(t *task) {
	var c00, c01, c10, c11, c20, c21 archsimd.Float32x16
	a, b, row := t.a, t.b, t.aRow
	i, l := 0, 0
	for range t.k {
		r := (*[32]float32)(b[l:])
		b0 := archsimd.LoadFloat32x16Slice(r[:])
		b1 := archsimd.LoadFloat32x16Slice(r[16:])
		x := archsimd.BroadcastFloat32x16(a[i])
		c00 = c00.Add(x.Mul(b0))
		c01 = c01.Add(x.Mul(b1))
		x = archsimd.BroadcastFloat32x16(a[i+row])
		c10 = c10.Add(x.Mul(b0))
		c11 = c11.Add(x.Mul(b1))
		x = archsimd.BroadcastFloat32x16(a[i+2*row])
		c20 = c20.Add(x.Mul(b0))
		c21 = c21.Add(x.Mul(b1))
		i += t.aStep
		l += t.bStep
	}
	c00.StoreSlice(t.tile[:])
	c01.StoreSlice(t.tile[16:])
	c10.StoreSlice(t.tile[tileStride:])
	c11.StoreSlice(t.tile[tileStride+16:])
	c20.StoreSlice(t.tile[2*tileStride:])
	c21.StoreSlice(t.tile[2*tileStride+16:])
}

func kernel2x3x16(t *task) {
	var c00, c01, c02, c10, c11, c12 archsimd.Float32x16
	a, b, row := t.a, t.b, t.aRow
	i, l := 0, 0
	for range t.k {
		r := (*[48]float32)(b[l:])
		b0 := archsimd.LoadFloat32x16Slice(r[:])
		b1 := archsimd.LoadFloat32x16Slice(r[16:])
		b2 := archsimd.LoadFloat32x16Slice(r[32:])
		x := archsimd.BroadcastFloat32x16(a[i])
		c00 = c00.Add(x.Mul(b0))
		c01 = c01.Add(x.Mul(b1))
		c02 = c02.Add(x.Mul(b2))
		x = archsimd.BroadcastFloat32x16(a[i+row])
		c10 = c10.Add(x.Mul(b0))
		c11 = c11.Add(x.Mul(b1))
		c12 = c12.Add(x.Mul(b2))
		i += t.aStep
		l += t.bStep
	}
	c00.StoreSlice(t.tile[:])
	c01.StoreSlice(t.tile[16:])
	c02.StoreSlice(t.tile[32:])
	c10.StoreSlice(t.tile[tileStride:])
	c11.StoreSlice(t.tile[tileStride+16:])
	c12.StoreSlice(t.tile[tileStride+32:])
}

func kernel2x2x16(t *task) {
	var c00, c01, c10, c11 archsimd.Float32x16
	a, b, row := t.a, t.b, t.aRow
	i, l := 0, 0
	for range t.k {
		r := (*[32]float32)(b[l:])
		b0 := archsimd.LoadFloat32x16Slice(r[:])
		b1 := archsimd.LoadFloat32x16Slice(r[16:])
		x := archsimd.BroadcastFloat32x16(a[i])
		c00 = c00.Add(x.Mul(b0))
		c01 = c01.Add(x.Mul(b1))
		x = archsimd.BroadcastFloat32x16(a[i+row])
		c10 = c10.Add(x.Mul(b0))
		c11 = c11.Add(x.Mul(b1))
		i += t.aStep
		l += t.bStep
	}
	c00.StoreSlice(t.tile[:])
	c01.StoreSlice(t.tile[16:])
	c10.StoreSlice(t.tile[tileStride:])
	c11.StoreSlice(t.tile[tileStride+16:])
}
