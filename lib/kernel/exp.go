package kernel

import (
	"math"

	"vapo/lib/portable"
)

const (
	expHigh = float32(88.72283905206835) // ln(MaxFloat32)
	expLow  = float32(-87.33654475055310)
)

var expInf = float32(math.Inf(1))

// exp32 returns e^x with an error of at most 2 units in the last place. x may be infinite or NaN. Results below the
// smallest normal number are 0. The method is that of expf in Cephes: x = n·ln 2 + r, and a polynomial of degree 5 for
// |r| <= ln(2)/2.
func exp32(x float32) float32 {
	switch {
	case x > expHigh:
		return expInf
	case x < expLow:
		return 0
	case x != x:
		return x
	}
	// The conversions to float32 keep the compiler from fusing products with sums.
	z := float32(x*1.44269504088896341) + 0.5
	n := float32(int32(z))
	if n > z {
		n--
	}
	r := x - float32(n*0.693359375)
	r -= float32(n * -2.12194440e-4)
	p := float32(1.9875691500e-4)
	p = float32(p*r) + 1.3981999507e-3
	p = float32(p*r) + 8.3334519073e-3
	p = float32(p*r) + 4.1665795894e-2
	p = float32(p*r) + 1.6666665459e-1
	p = float32(p*r) + 5.0000001201e-1
	p = float32(float32(p*r)*r) + r + 1
	return math.Float32frombits(math.Float32bits(p) + uint32(int32(n))<<23)
}

func exp[T Float](x T) T {
	switch v := any(x).(type) {
	case float32:
		return T(exp32(v))
	case float64:
		return T(portable.Exp(v))
	}
	panic("unreachable")
}
