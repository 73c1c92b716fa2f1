//go:build goexperiment.simd && amd64

package kernel

import "simd/archsimd"

// Vectorised says whether the float32 loops use 256-bit vector instructions in this program on this machine: it was
// built with GOEXPERIMENT=simd and the processor has AVX2. The bits of every result are the same without.
var Vectorised = archsimd.X86.AVX2()

// vectorLen is the number of float32 of a vector.
const vectorLen = 8

// vector runs an instruction on the leading multiple of vectorLen elements and returns how many it did: 0 where there
// is no vector form. The operations and their order are those of the scalar loops, without fused multiply-adds, so
// that both give the same bits.
func vector(in *Instr, dst, a, b []float32) int {
	n := len(dst) &^ (vectorLen - 1)
	if n == 0 || !Vectorised {
		return 0
	}
	dst, a, b = dst[:n], a[:n], b[:n]
	switch in.Code {
	case Affine:
		vectorAffine(dst, a, float32(in.P), float32(in.Q))
	case Add:
		for len(dst) >= vectorLen {
			archsimd.LoadFloat32x8Slice(a).Add(archsimd.LoadFloat32x8Slice(b)).StoreSlice(dst)
			dst, a, b = dst[vectorLen:], a[vectorLen:], b[vectorLen:]
		}
	case Sub:
		for len(dst) >= vectorLen {
			archsimd.LoadFloat32x8Slice(a).Sub(archsimd.LoadFloat32x8Slice(b)).StoreSlice(dst)
			dst, a, b = dst[vectorLen:], a[vectorLen:], b[vectorLen:]
		}
	case Mul:
		for len(dst) >= vectorLen {
			archsimd.LoadFloat32x8Slice(a).Mul(archsimd.LoadFloat32x8Slice(b)).StoreSlice(dst)
			dst, a, b = dst[vectorLen:], a[vectorLen:], b[vectorLen:]
		}
	case Div:
		for len(dst) >= vectorLen {
			archsimd.LoadFloat32x8Slice(a).Div(archsimd.LoadFloat32x8Slice(b)).StoreSlice(dst)
			dst, a, b = dst[vectorLen:], a[vectorLen:], b[vectorLen:]
		}
	case Sqrt:
		for len(dst) >= vectorLen {
			archsimd.LoadFloat32x8Slice(a).Sqrt().StoreSlice(dst)
			dst, a = dst[vectorLen:], a[vectorLen:]
		}
	case Step:
		one := archsimd.BroadcastFloat32x8(1)
		zero := archsimd.BroadcastFloat32x8(0)
		for len(dst) >= vectorLen {
			one.Masked(archsimd.LoadFloat32x8Slice(a).Greater(zero)).StoreSlice(dst)
			dst, a = dst[vectorLen:], a[vectorLen:]
		}
	case Sigmoid:
		one := archsimd.BroadcastFloat32x8(1)
		zero := archsimd.BroadcastFloat32x8(0)
		for len(dst) >= vectorLen {
			one.Div(one.Add(vectorExp(zero.Sub(archsimd.LoadFloat32x8Slice(a))))).StoreSlice(dst)
			dst, a = dst[vectorLen:], a[vectorLen:]
		}
	case Exp:
		for len(dst) >= vectorLen {
			vectorExp(archsimd.LoadFloat32x8Slice(a)).StoreSlice(dst)
			dst, a = dst[vectorLen:], a[vectorLen:]
		}
	case SiLU:
		return vectorSiLU(int(in.P), dst, a, b)
	default:
		return 0
	}
	return n
}

func vectorAffine(dst, a []float32, p, q float32) {
	vp, vq := archsimd.BroadcastFloat32x8(p), archsimd.BroadcastFloat32x8(q)
	if q == 0 {
		for len(dst) >= vectorLen && len(a) >= vectorLen {
			vp.Mul(archsimd.LoadFloat32x8Slice(a)).StoreSlice(dst)
			dst, a = dst[vectorLen:], a[vectorLen:]
		}
		return
	}
	for len(dst) >= vectorLen && len(a) >= vectorLen {
		vp.Mul(archsimd.LoadFloat32x8Slice(a)).Add(vq).StoreSlice(dst)
		dst, a = dst[vectorLen:], a[vectorLen:]
	}
}

// vectorSiLU computes the derivatives of order 0, 1 and 2; see siluDeriv.
func vectorSiLU(order int, dst, x, s []float32) int {
	n := len(dst)
	one, two := archsimd.BroadcastFloat32x8(1), archsimd.BroadcastFloat32x8(2)
	for ; len(dst) >= vectorLen; dst, x, s = dst[vectorLen:], x[vectorLen:], s[vectorLen:] {
		v, u := archsimd.LoadFloat32x8Slice(x), archsimd.LoadFloat32x8Slice(s)
		switch order {
		case 0:
			v.Mul(u).StoreSlice(dst)
		case 1:
			u.Add(v.Mul(u.Mul(one.Sub(u)))).StoreSlice(dst)
		case 2:
			u.Mul(one.Sub(u)).Mul(two.Add(v.Mul(one.Sub(two.Mul(u))))).StoreSlice(dst)
		default:
			return 0
		}
	}
	return n
}

// vectorExp is exp32 on eight elements.
func vectorExp(x archsimd.Float32x8) archsimd.Float32x8 {
	n := x.Mul(archsimd.BroadcastFloat32x8(1.44269504088896341)).Add(archsimd.BroadcastFloat32x8(0.5)).Floor()
	r := x.Sub(n.Mul(archsimd.BroadcastFloat32x8(0.693359375)))
	r = r.Sub(n.Mul(archsimd.BroadcastFloat32x8(-2.12194440e-4)))
	p := archsimd.BroadcastFloat32x8(1.9875691500e-4)
	p = p.Mul(r).Add(archsimd.BroadcastFloat32x8(1.3981999507e-3))
	p = p.Mul(r).Add(archsimd.BroadcastFloat32x8(8.3334519073e-3))
	p = p.Mul(r).Add(archsimd.BroadcastFloat32x8(4.1665795894e-2))
	p = p.Mul(r).Add(archsimd.BroadcastFloat32x8(1.6666665459e-1))
	p = p.Mul(r).Add(archsimd.BroadcastFloat32x8(5.0000001201e-1))
	p = p.Mul(r).Mul(r).Add(r).Add(archsimd.BroadcastFloat32x8(1))
	y := p.AsInt32x8().Add(n.ConvertToInt32().ShiftAllLeft(23)).AsFloat32x8()
	y = y.Merge(archsimd.BroadcastFloat32x8(expInf), x.LessEqual(archsimd.BroadcastFloat32x8(expHigh)))
	y = y.Merge(archsimd.BroadcastFloat32x8(0), x.GreaterEqual(archsimd.BroadcastFloat32x8(expLow)))
	return y.Merge(x, x.Equal(x))
}

// vectorAddLanes adds a leading part of v to the sums, from the first of them on, and returns its length.
func vectorAddLanes(l *[sumLanes]float32, v []float32) int {
	if n := wideAddLanes(l, v); n > 0 || !Vectorised {
		return n
	}
	n := len(v) &^ (sumLanes - 1)
	a, b := archsimd.LoadFloat32x8Slice(l[:]), archsimd.LoadFloat32x8Slice(l[8:])
	c, d := archsimd.LoadFloat32x8Slice(l[16:]), archsimd.LoadFloat32x8Slice(l[24:])
	for v = v[:n]; len(v) >= sumLanes; v = v[sumLanes:] {
		a, b = a.Add(archsimd.LoadFloat32x8Slice(v)), b.Add(archsimd.LoadFloat32x8Slice(v[8:]))
		c, d = c.Add(archsimd.LoadFloat32x8Slice(v[16:])), d.Add(archsimd.LoadFloat32x8Slice(v[24:]))
	}
	a.StoreSlice(l[:])
	b.StoreSlice(l[8:])
	c.StoreSlice(l[16:])
	d.StoreSlice(l[24:])
	return n
}

// vectorWithScalar is withScalar on the leading multiple of vectorLen elements, of which it returns the number.
func vectorWithScalar(code Code, dst, a []float32, s float32, scalarFirst bool) int {
	n := len(dst) &^ (vectorLen - 1)
	if n == 0 || !Vectorised {
		return 0
	}
	dst, a = dst[:n], a[:n]
	x := archsimd.BroadcastFloat32x8(s)
	switch {
	case code == Add:
		for ; len(dst) >= vectorLen; dst, a = dst[vectorLen:], a[vectorLen:] {
			archsimd.LoadFloat32x8Slice(a).Add(x).StoreSlice(dst)
		}
	case code == Mul:
		for ; len(dst) >= vectorLen; dst, a = dst[vectorLen:], a[vectorLen:] {
			archsimd.LoadFloat32x8Slice(a).Mul(x).StoreSlice(dst)
		}
	case code == Sub && scalarFirst:
		for ; len(dst) >= vectorLen; dst, a = dst[vectorLen:], a[vectorLen:] {
			x.Sub(archsimd.LoadFloat32x8Slice(a)).StoreSlice(dst)
		}
	case code == Sub:
		for ; len(dst) >= vectorLen; dst, a = dst[vectorLen:], a[vectorLen:] {
			archsimd.LoadFloat32x8Slice(a).Sub(x).StoreSlice(dst)
		}
	case code == Div && scalarFirst:
		for ; len(dst) >= vectorLen; dst, a = dst[vectorLen:], a[vectorLen:] {
			x.Div(archsimd.LoadFloat32x8Slice(a)).StoreSlice(dst)
		}
	case code == Div:
		for ; len(dst) >= vectorLen; dst, a = dst[vectorLen:], a[vectorLen:] {
			archsimd.LoadFloat32x8Slice(a).Div(x).StoreSlice(dst)
		}
	default:
		return 0
	}
	return n
}

// vectorMax is the largest of the leading multiple of vectorLen elements, and how many they are. NaNs may get lost.
func vectorMax(v []float32) (float32, int) {
	n := len(v) &^ (vectorLen - 1)
	if n == 0 || !Vectorised {
		return 0, 0
	}
	acc := archsimd.LoadFloat32x8Slice(v)
	for w := v[vectorLen:n]; len(w) >= vectorLen; w = w[vectorLen:] {
		acc = acc.Max(archsimd.LoadFloat32x8Slice(w))
	}
	var l [8]float32
	acc.Store(&l)
	return max(l[0], l[1], l[2], l[3], l[4], l[5], l[6], l[7]), n
}

// vectorExpShifted sets the leading multiple of vectorLen elements of dst to e^(a-shift), and returns how many.
func vectorExpShifted(dst, a []float32, shift float32) int {
	if !Vectorised {
		return 0
	}
	n := len(dst) &^ (vectorLen - 1)
	s := archsimd.BroadcastFloat32x8(shift)
	for dst, a = dst[:n], a[:n]; len(dst) >= vectorLen && len(a) >= vectorLen; dst, a = dst[vectorLen:], a[vectorLen:] {
		vectorExp(archsimd.LoadFloat32x8Slice(a).Sub(s)).StoreSlice(dst)
	}
	return n
}

// vectorScale multiplies the leading multiple of vectorLen elements by p, and returns how many.
func vectorScale(v []float32, p float32) int {
	if !Vectorised {
		return 0
	}
	n := len(v) &^ (vectorLen - 1)
	vectorAffine(v[:n], v[:n], p, 0)
	return n
}

// vectorLarger is larger on the leading multiple of vectorLen elements, and returns how many.
func vectorLarger(v, w []float32) int {
	if !Vectorised {
		return 0
	}
	n := len(v) &^ (vectorLen - 1)
	for v, w = v[:n], w[:n]; len(v) >= vectorLen && len(w) >= vectorLen; v, w = v[vectorLen:], w[vectorLen:] {
		x, y := archsimd.LoadFloat32x8Slice(v), archsimd.LoadFloat32x8Slice(w)
		x.Merge(y, x.GreaterEqual(y).Or(x.NotEqual(x))).StoreSlice(v)
	}
	return n
}
