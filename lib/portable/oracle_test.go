package portable

import (
	"math"
	"math/big"
)

// prec is the precision, in bits, of the reference values that this file computes with Taylor series.
const prec = 400

func number(x float64) *big.Float { return new(big.Float).SetPrec(prec).SetFloat64(x) }

// series sums a series until its terms are negligible. term is the first term. next(term, k) replaces the k-th term by
// the next term.
func series(term *big.Float, next func(term *big.Float, k int64)) *big.Float {
	sum := number(0)
	counts := func() bool { return sum.Sign() == 0 || term.MantExp(nil) > sum.MantExp(nil)-prec }
	for k := int64(1); term.Sign() != 0 && (k < 8 || counts()); k++ {
		sum.Add(sum, term)
		next(term, k)
	}
	return sum
}

func bigExp(x *big.Float) *big.Float {
	const halvings = 20
	r := new(big.Float).SetMantExp(x, -halvings)
	e := series(number(1), func(t *big.Float, k int64) { t.Mul(t, r).Quo(t, number(float64(k))) })
	for range halvings {
		e.Mul(e, e)
	}
	return e
}

// bigLog solves e^y = x by Newton's method, starting from the logarithm in float64.
func bigLog(x *big.Float) *big.Float {
	m := new(big.Float)
	e := x.MantExp(m)
	v, _ := m.Float64()
	y := number(math.Log(v) + float64(e)*math.Ln2)
	for range 4 {
		d := bigExp(new(big.Float).Neg(y))
		y.Add(y, d.Mul(d, x).Sub(d, number(1)))
	}
	return y
}

// bigSincos sums the series for x·2^-40 and doubles the angle forty times. |x| must be below 2^30.
func bigSincos(x *big.Float) (sin, cos *big.Float) {
	const halvings = 40
	r := new(big.Float).SetMantExp(x, -halvings)
	square := new(big.Float).Mul(r, r)
	square.Neg(square)
	next := func(odd int64) func(*big.Float, int64) {
		return func(t *big.Float, k int64) { t.Mul(t, square).Quo(t, number(float64(2*k*(2*k+odd)))) }
	}
	sin, cos = series(new(big.Float).Copy(r), next(1)), series(number(1), next(-1))
	for range halvings {
		s := new(big.Float).Mul(sin, cos)
		sin, cos = s.Add(s, s), cos.Mul(cos, cos).Sub(cos, new(big.Float).Mul(sin, sin))
	}
	return sin, cos
}

// bigErf sums the series 2/sqrt(π)·exp(-x²)·x·(1 + 2x²/3 + (2x²)²/(3·5) + ...). All its terms have the same sign.
func bigErf(x *big.Float) *big.Float {
	square := new(big.Float).Mul(x, x)
	sum := series(new(big.Float).Copy(x), func(t *big.Float, k int64) {
		t.Mul(t, square).Mul(t, number(2)).Quo(t, number(float64(2*k+1)))
	})
	sum.Mul(sum, bigExp(square.Neg(square))).Mul(sum, number(2))
	return sum.Quo(sum, new(big.Float).Sqrt(bigPi()))
}

// bigErfinv solves erf x = y by Newton's method, starting from the result in float64.
func bigErfinv(y *big.Float) *big.Float {
	v, _ := y.Float64()
	x := number(math.Erfinv(v))
	factor := new(big.Float).Sqrt(bigPi())
	factor.Quo(factor, number(2))
	for range 5 {
		d := bigErf(x)
		d.Sub(y, d).Mul(d, factor)
		x.Add(x, d.Mul(d, bigExp(new(big.Float).Mul(x, x))))
	}
	return x
}

// bigAcos solves cos y = x by Newton's method, starting from the arccosine in float64, which must not be 0 or π.
func bigAcos(x *big.Float) *big.Float {
	v, _ := x.Float64()
	y := number(math.Acos(v))
	for range 5 {
		sin, cos := bigSincos(y)
		y.Add(y, cos.Sub(cos, x).Quo(cos, sin))
	}
	return y
}

func bigPi() *big.Float { return new(big.Float).Mul(bigAcos(number(0)), number(2)) }
