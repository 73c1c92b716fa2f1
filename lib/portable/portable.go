// Package portable has elementary functions of float64 whose results are the same bits on every machine.
//
// The functions of package math are not: math.Exp is assembly that takes another way where amd64 has fused
// multiply-adds, and other assembly on arm64; and the compiler itself fuses x*y + z where the target has the
// instruction (arm64 always, amd64 with GOAMD64=v3), also inside package math. Numbers that enter a keyed artifact pass
// through these functions instead. math.Sqrt, math.FMA, math.Floor and the like, math.Abs, math.Frexp, math.Ldexp and
// math.Modf are exact or correctly rounded, hence the same everywhere, and have no counterpart here.
//
// The algorithms and constants are those of package math's Go files (FreeBSD's msun and Cephes; see LICENSE), with each
// product rounded by an explicit conversion before it is added to, which is what the language asks for to prevent
// fusing: on amd64 without FMA the results equal package math's to the bit, except those of Exp and of what uses it.
//
// Note: calling package math and rounding the result to fewer bits was rejected: two results that differ in the last
// bit can still round to different sides.
package portable

import "math"

// polynomial returns c[0] + x·c[1] + x²·c[2] + ... by Horner's rule; c is not empty.
func polynomial(x float64, c []float64) float64 {
	last := len(c) - 1
	p := c[last]
	for i := last - 1; i >= 0; i-- {
		p = c[i] + float64(x*p)
	}
	return p
}

var nan, infinity = math.NaN(), math.Inf(1)

// ln 2 in two parts: a multiple of the first by an integer below 2^20 is exact.
const (
	ln2Hi = 6.93147180369123816490e-01 // 3fe62e42 fee00000
	ln2Lo = 1.90821492927058770002e-10 // 3dea39ef 35793c76
)
