// Package portable provides elementary functions for float64 that return the same bits on every machine.
//
// The results of package math depend on the machine. math.Exp is written in assembly, with different code for arm64,
// for amd64 with fused multiply-adds and for amd64 without. In addition, the compiler fuses x*y + z if the target has
// the instruction (arm64 always, amd64 with GOAMD64=v3). It does so inside package math too. Values that enter a keyed
// artifact are therefore computed with this package. Functions that are exact or correctly rounded, such as math.Sqrt,
// math.FMA, math.Floor, math.Abs, math.Frexp, math.Ldexp and math.Modf, are the same everywhere and have no counterpart
// here.
//
// The algorithms and constants are those of the Go files of package math, which come from FreeBSD's msun and Cephes
// (see LICENSE). Each product is rounded by an explicit conversion before it is used in a sum. By the language
// specification, this prevents fusing. On amd64 without FMA, the results have the same bits as those of package math,
// except for Exp and functions that use it.
//
// Note: rounding the results of package math to fewer bits was rejected. Two results that differ in the last bit can
// still be rounded differently.
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

// ln 2 is the sum of two parts. The product of ln2Hi and an integer below 2^20 is exact.
const (
	ln2Hi = 6.93147180369123816490e-01 // 3fe62e42 fee00000
	ln2Lo = 1.90821492927058770002e-10 // 3dea39ef 35793c76
)
