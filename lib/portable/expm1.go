package portable

import "math"

// expm1Q holds the coefficients of a polynomial in r²/2 that approximates R1 within 2^-61 for |r| <= ln(2)/2. R1 is
// defined by r·(e^r + 1)/(e^r - 1) = 2 + r²/6·R1.
var expm1Q = [...]float64{
	1,
	-3.33333333333331316428e-02, // bfa11111 111110f4
	1.58730158725481460165e-03,  // 3f5a01a0 19fe5585
	-7.93650757867487942473e-05, // bf14ce19 9eaadbb7
	4.00821782732936239552e-06,  // 3ed0cfca 86e65239
	-2.01099218183624371326e-07, // be8afdb7 6e09c32d
}

// Expm1 returns e^x - 1 with an error below 1 ulp, also near 0. The result is +Inf for x above 709.78 and -1 for x
// below -38.8. Expm1(NaN) is NaN. Source: FreeBSD msun s_expm1.c.
func Expm1(x float64) float64 {
	const (
		overflow  = 7.09782712893383973096e+02
		invLn2    = 1.44269504088896338700e+00
		tiny      = 1.0 / (1 << 54)
		fiftySix  = 3.88162421113569373274e+01 // 56·ln 2
		halfLn2   = 3.46573590279972654709e-01
		threeHalf = 1.03972077083991796413e+00 // 3/2·ln 2
	)
	size := math.Abs(x)
	switch {
	case x != x:
		return x
	case x > overflow:
		return infinity
	case x <= -fiftySix:
		return -1
	case size < tiny:
		return x
	}
	// x = k·ln 2 + r + c with |r| <= ln(2)/2, where c is the rounding error of r.
	r, c, k := x, 0.0, 0
	if size > halfLn2 {
		switch {
		case size < threeHalf && x > 0:
			k = 1
		case size < threeHalf:
			k = -1
		case x > 0:
			k = int(float64(invLn2*x) + 0.5)
		default:
			k = int(float64(invLn2*x) - 0.5)
		}
		hi := x - float64(float64(k)*ln2Hi)
		lo := float64(float64(k) * ln2Lo)
		r = hi - lo
		c = (hi - r) - lo
	}
	half := float64(0.5 * r)
	square := float64(r * half)
	r1 := polynomial(square, expm1Q[:])
	t := 3 - float64(r1*half)
	e := float64(square * ((r1 - t) / (6 - float64(r*t))))
	if k == 0 {
		return r - (float64(r*e) - square)
	}
	e = (float64(r*(e-c)) - c) - square // e^x = 2^k·(1 + r - e)
	switch {
	case k == -1:
		return float64(0.5*(r-e)) - 0.5
	case k == 1 && r < -0.25:
		return float64(-2 * (e - (r + 0.5)))
	case k == 1:
		return 1 + float64(2*(r-e))
	case k <= -2 || k > 56:
		return timesPower(1-(e-r), k) - 1
	case k < 20:
		return timesPower((1-math.Ldexp(1, -k))-(e-r), k)
	}
	return timesPower((r-(e+math.Ldexp(1, -k)))+1, k)
}

// timesPower returns y·2^k. y and the result must be normal numbers.
func timesPower(y float64, k int) float64 {
	return math.Float64frombits(math.Float64bits(y) + uint64(k)<<52)
}
