package portable

import "math"

// Exp returns e^x with an error below 1 ulp. The result is +Inf for x above 709.78, subnormal for x below -708.39, and
// 0 for x below -745.13. Exp(NaN) is NaN. Source: FreeBSD msun e_exp.c.
func Exp(x float64) float64 {
	const (
		log2e     = 1.44269504088896338700e+00
		overflow  = 7.09782712893383973096e+02
		underflow = -7.45133219101941108420e+02
		nearZero  = 1.0 / (1 << 28)
	)
	switch {
	case x != x:
		return x
	case x > overflow:
		return infinity
	case x < underflow:
		return 0
	case -nearZero < x && x < nearZero:
		return 1 + x
	}
	// x = k·ln 2 + r with |r| <= ln(2)/2 and r = hi - lo.
	var k int
	if x < 0 {
		k = int(float64(log2e*x) - 0.5)
	} else {
		k = int(float64(log2e*x) + 0.5)
	}
	hi := x - float64(float64(k)*ln2Hi)
	lo := float64(float64(k) * ln2Lo)
	return scaledExp(hi, lo, k)
}

// Exp2 returns 2^x with an error below 1 ulp. The result is exact for integers x, +Inf for x >= 1024, subnormal for x
// below -1022, and 0 for x below -1074. Exp2(NaN) is NaN. Source: Go's math.Exp2.
func Exp2(x float64) float64 {
	const (
		overflow  = 1.0239999999999999e+03
		underflow = -1.0740e+03
	)
	switch {
	case x != x:
		return x
	case x > overflow:
		return infinity
	case x < underflow:
		return 0
	}
	// x = k + t with |t| <= 1/2, and r = t·ln 2 = hi - lo.
	var k int
	if x < 0 {
		k = int(x - 0.5)
	} else {
		k = int(x + 0.5)
	}
	t := x - float64(k)
	return scaledExp(float64(t*ln2Hi), float64(-t*ln2Lo), k)
}

// expP holds the coefficients of a polynomial in r² that approximates (R(r²) - 2)/r² for |r| <= ln(2)/2, where R(r²) =
// r·(e^r + 1)/(e^r - 1). The error in R is below 2^-59.
var expP = [...]float64{
	1.66666666666666657415e-01,  // 3fc55555 55555555
	-2.77777777770155933842e-03, // bf66c16c 16bebd93
	6.61375632143793436117e-05,  // 3f11566a af25de2c
	-1.65339022054652515390e-06, // bebbbd41 c5d26bf1
	4.13813679705723846039e-08,  // 3e663769 72bea4d0
}

// scaledExp returns e^(hi-lo) · 2^k for |hi - lo| <= ln(2)/2.
func scaledExp(hi, lo float64, k int) float64 {
	r := hi - lo
	t := float64(r * r)
	c := r - float64(t*polynomial(t, expP[:]))
	y := 1 - ((lo - float64(r*c)/(2-c)) - hi)
	if -1020 < k && k < 1020 { // y is in (1/2, 2), so the result is normal
		return timesPower(y, k)
	}
	return math.Ldexp(y, k)
}
