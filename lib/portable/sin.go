package portable

import (
	"math"
	"math/bits"
)

// Sin returns the sine of x, which is in radians. The error is below 1 ulp for |x| < π/4, and the absolute error is
// below 2.3e-16 for all finite x. Sin returns NaN if x is infinite or NaN. Sin(±0) is ±0. Source: Cephes' sin.c, as in
// Go's math.Sin.
func Sin(x float64) float64 {
	sin, _ := Sincos(x)
	return sin
}

// Cos returns the cosine of x, which is in radians, with an absolute error below 2.3e-16 for all finite x. Cos returns
// NaN if x is infinite or NaN. Source: Cephes' sin.c, as in Go's math.Cos.
func Cos(x float64) float64 {
	_, cos := Sincos(x)
	return cos
}

// sinP and cosP are polynomials in z². For |z| <= π/4, sinP approximates (sin(z)/z - 1)/z², and cosP approximates
// (cos(z) - 1 + z²/2)/z⁴.
var (
	sinP = [...]float64{
		-1.66666666666666307295e-1, // bfc55555 55555548
		8.33333333332211858878e-3,  // 3f811111 1110f7d0
		-1.98412698295895385996e-4, // bf2a01a0 19bfdf03
		2.75573136213857245213e-6,  // 3ec71de3 567d48a1
		-2.50507477628578072866e-8, // be5ae5e5 a9291f5d
		1.58962301576546568060e-10, // 3de5d8fd 1fd19ccd
	}
	cosP = [...]float64{
		4.16666666666665929218e-2,   // 3fa55555 5555554b
		-1.38888888888730564116e-3,  // bf56c16c 16c14f91
		2.48015872888517045348e-5,   // 3efa01a0 19c844f5
		-2.75573141792967388112e-7,  // be927e4f 7eac4bc6
		2.08757008419747316778e-9,   // 3e21ee9d 7b4e3f05
		-1.13585365213876817300e-11, // bda8fa49 a0861a9b
	}
)

// Sincos returns Sin(x) and Cos(x). It is faster than calling both.
func Sincos(x float64) (sin, cos float64) {
	switch {
	case x == 0:
		return x, 1
	case !(math.Abs(x) <= math.MaxFloat64):
		return nan, nan
	}
	octant, z := reduce(math.Abs(x))
	zz := float64(z * z)
	cos = 1 - float64(0.5*zz) + float64(zz*zz*polynomial(zz, cosP[:]))
	sin = z + float64(z*zz*polynomial(zz, sinP[:]))
	switch octant {
	case 2:
		sin, cos = cos, -sin
	case 4:
		sin, cos = -sin, -cos
	case 6:
		sin, cos = -cos, sin
	}
	if x < 0 {
		sin = -sin
	}
	return sin, cos
}

// reduce returns an even octant (0, 2, 4 or 6) and z with |z| <= π/4, such that x = octant·π/4 + z modulo 2π. x must be
// finite and positive. For x below 2^29, the multiple of π/4 is subtracted in three parts (Cody and Waite).
func reduce(x float64) (octant uint64, z float64) {
	const (
		piA = 7.85398125648498535156e-1  // 3fe921fb 40000000, π/4 in three parts
		piB = 3.77489470793079817668e-8  // 3e64442d 00000000
		piC = 2.69515142907905952645e-15 // 3ce84698 98cc5170
	)
	if x >= 1<<29 {
		return reduceLarge(x)
	}
	octant = uint64(x * (4 / math.Pi))
	octant += octant & 1
	y := float64(octant)
	z = ((x - float64(y*piA)) - float64(y*piB)) - float64(y*piC)
	return octant & 7, z
}

// reduceLarge is reduce for x >= 2^29. It multiplies the mantissa of x by the 192 bits of 4/π that matter for this x,
// in integer arithmetic. Source: M. Payne and R. Hanek, "Radian reduction for trigonometric functions", SIGNUM
// Newsletter 18 (1983), as in Go's math package.
func reduceLarge(x float64) (octant uint64, z float64) {
	const (
		shift = 52
		mask  = 0x7ff
		bias  = 1023
	)
	ix := math.Float64bits(x)
	exp := int(ix>>shift&mask) - bias - shift // x = ix · 2^exp
	ix &^= mask << shift
	ix |= 1 << shift
	digit, bit := uint(exp+61)/64, uint(exp+61)%64
	z0 := fourOverPi[digit]<<bit | fourOverPi[digit+1]>>(64-bit)
	z1 := fourOverPi[digit+1]<<bit | fourOverPi[digit+2]>>(64-bit)
	z2 := fourOverPi[digit+2]<<bit | fourOverPi[digit+3]>>(64-bit)
	z2hi, _ := bits.Mul64(z2, ix)
	z1hi, z1lo := bits.Mul64(z1, ix)
	lo, carry := bits.Add64(z1lo, z2hi, 0)
	hi, _ := bits.Add64(z0*ix, z1hi, carry)
	octant = hi >> 61
	hi = hi<<3 | lo>>61 // the fraction
	zeros := uint(bits.LeadingZeros64(hi))
	hi = hi<<(zeros+1) | lo>>(64-(zeros+1)) // without the implicit leading one
	z = math.Float64frombits(uint64(bias-(zeros+1))<<shift | hi>>(64-shift))
	if octant&1 == 1 {
		octant = (octant + 1) & 7
		z--
	}
	return octant, float64(z * (math.Pi / 4))
}

// fourOverPi holds the first 1,280 bits of 4/π. The last bit of the first word has the weight 2^0.
var fourOverPi = [...]uint64{
	0x0000000000000001,
	0x45f306dc9c882a53,
	0xf84eafa3ea69bb81,
	0xb6c52b3278872083,
	0xfca2c757bd778ac3,
	0x6e48dc74849ba5c0,
	0x0c925dd413a32439,
	0xfc3bd63962534e7d,
	0xd1046bea5d768909,
	0xd338e04d68befc82,
	0x7323ac7306a673e9,
	0x3908bf177bf25076,
	0x3ff12fffbc0b301f,
	0xde5e2316b414da3e,
	0xda6cfd9e4f96136e,
	0x9e8c7ecd3cbfd45a,
	0xea4f758fd7cbe2f6,
	0x7a0e73ef14a525d4,
	0xd7f6bf623f1aba10,
	0xac06608df8f6d757,
}
