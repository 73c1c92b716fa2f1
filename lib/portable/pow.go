package portable

import "math"

// Pow returns x^y. For y in (-1, 1), the error is below 2 ulp. For larger |y|, it grows by about one ulp for each bit
// of the integer part of |y|, because the power with this integer part is a product of repeated squares. The special
// cases are those of math.Pow and C99. Source: Go's math.Pow.
func Pow(x, y float64) float64 {
	switch {
	case y == 0 || x == 1:
		return 1
	case y == 1:
		return x
	case x != x || y != y:
		return nan
	case x == 0:
		return powOfZero(x, y)
	case math.IsInf(y, 0):
		switch {
		case x == -1:
			return 1
		case (math.Abs(x) < 1) == (y > 0):
			return 0
		}
		return infinity
	case math.IsInf(x, -1):
		return Pow(1/x, -y) // Pow(-0, -y)
	case math.IsInf(x, 1):
		if y < 0 {
			return 0
		}
		return infinity
	case y == 0.5:
		return math.Sqrt(x)
	case y == -0.5:
		return 1 / math.Sqrt(x)
	}
	whole, fraction := math.Modf(math.Abs(y))
	if fraction != 0 && x < 0 {
		return nan
	}
	if whole >= 1<<63 { // y is an even integer
		switch {
		case x == -1:
			return 1
		case (math.Abs(x) < 1) == (y > 0):
			return 0
		}
		return infinity
	}
	m, e := 1.0, 0 // the result is m · 2^e
	if fraction != 0 {
		if fraction > 0.5 {
			fraction--
			whole++
		}
		m = Exp(float64(fraction * Log(x)))
	}
	square, squareExp := math.Frexp(x)
	for i := int64(whole); i != 0; i >>= 1 {
		if squareExp < -1<<12 || 1<<12 < squareExp {
			e += squareExp // the result is out of range: Ldexp returns 0 or infinity
			break
		}
		if i&1 == 1 {
			m *= square
			e += squareExp
		}
		square = float64(square * square)
		squareExp <<= 1
		if square < 0.5 {
			square += square
			squareExp--
		}
	}
	if y < 0 { // inverted last, so that no intermediate result overflows
		m, e = 1/m, -e
	}
	return math.Ldexp(m, e)
}

// powOfZero returns x^y for x = ±0 and y != 0. If y is an odd integer, the result has the sign of x.
func powOfZero(x, y float64) float64 {
	whole, fraction := math.Modf(y)
	odd := fraction == 0 && math.Abs(y) < 1<<53 && int64(whole)&1 == 1
	switch {
	case odd && y < 0:
		return 1 / x
	case odd:
		return x
	case y < 0:
		return infinity
	}
	return 0
}
