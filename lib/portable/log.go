package portable

import "math"

// logOdd and logEven hold the coefficients of the polynomial R in log(1+f) = 2s + s·R(s²), where s = f/(2+f). logOdd
// has the coefficients of s², s⁶, ..., and logEven those of s⁴, s⁸, ...
var (
	logOdd = [...]float64{
		6.666666666666735130e-01, // 3fe55555 55555593
		2.857142874366239149e-01, // 3fd24924 94229359
		1.818357216161805012e-01, // 3fc74664 96cb03de
		1.479819860511658591e-01, // 3fc2f112 df3e5244
	}
	logEven = [...]float64{
		3.999999999940941908e-01, // 3fd99999 9997fa04
		2.222219843214978396e-01, // 3fcc71c5 1d8e78af
		1.531383769920937332e-01, // 3fc39a09 d078c69f
	}
)

// Log returns the natural logarithm of x with an error below 1 ulp. Log(±0) is -Inf, and Log(+Inf) is +Inf. Log returns
// NaN if x < 0 or x is NaN. It handles subnormal x correctly, unlike math.Log on amd64. Source: FreeBSD msun e_log.c.
func Log(x float64) float64 {
	switch {
	case x != x || x > math.MaxFloat64:
		return x
	case x < 0:
		return nan
	case x == 0:
		return -infinity
	}
	// x = 2^k·(1+f) with sqrt(2)/2 <= 1+f < sqrt(2).
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m += m
		e--
	}
	f, k := m-1, float64(e)
	s := f / (2 + f)
	s2 := float64(s * s)
	s4 := float64(s2 * s2)
	r := float64(s2*polynomial(s4, logOdd[:])) + float64(s4*polynomial(s4, logEven[:]))
	half := float64(0.5 * f * f)
	low := float64(s*(half+r)) + float64(k*ln2Lo)
	return float64(k*ln2Hi) - ((half - low) - f)
}

// Log10 returns the decimal logarithm of x with an error below 2 ulp. The special cases are those of Log. The result is
// not exact for all powers of ten. Source: Go's math.Log10.
func Log10(x float64) float64 { return float64(Log(x) * (1 / math.Ln10)) }
