package portable

import "math"

// Acos returns the angle in [0, π] whose cosine is x, with an absolute error below 9e-16. Acos returns NaN if |x| > 1
// or x is NaN. Source: Cephes' asin.c, as in Go's math.Acos.
func Acos(x float64) float64 { return math.Pi/2 - asin(x) }

func asin(x float64) float64 {
	switch {
	case x == 0:
		return x
	case x < 0:
		return -asin(-x)
	case !(x <= 1):
		return nan
	}
	cos := math.Sqrt(1 - float64(x*x))
	if x > 0.7 {
		return math.Pi/2 - atan(cos/x)
	}
	return atan(x / cos)
}

// atan returns the arctangent of x for x >= 0.
func atan(x float64) float64 {
	const (
		rest     = 6.123233995736765886130e-17 // π/2 minus its float64 value
		tan3Pi8  = 2.41421356237309504880
		halfRest = 0.5 * rest
	)
	switch {
	case x <= 0.66:
		return atanNear(x)
	case x > tan3Pi8:
		return math.Pi/2 - atanNear(1/x) + rest
	}
	return math.Pi/4 + atanNear((x-1)/(x+1)) + halfRest
}

// atanP and atanQ are the numerator and the denominator of an approximation of (atan(x)/x - 1)/x² by a rational
// function of x².
var (
	atanP = [...]float64{
		-6.485021904942025371773e+01,
		-1.228866684490136173410e+02,
		-7.500855792314704667340e+01,
		-1.615753718733365076637e+01,
		-8.750608600031904122785e-01,
	}
	atanQ = [...]float64{
		+1.945506571482613964425e+02,
		+4.853903996359136964868e+02,
		+4.328810604912902668951e+02,
		+1.650270098316988542046e+02,
		+2.485846490142306297962e+01,
		1,
	}
)

// atanNear returns the arctangent of x for |x| <= 0.66.
func atanNear(x float64) float64 {
	z := float64(x * x)
	z = float64(z*polynomial(z, atanP[:])) / polynomial(z, atanQ[:])
	return float64(x*z) + x
}
