package portable

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// function is a function of the package, with the interval [lo, hi] of arguments on which it is tested.
type function struct {
	name     string
	f        func(float64) float64
	lo, hi   float64
	ulps     float64 // the largest error that passes, in ulps of the result or of floor if floor is larger
	floor    float64
	exact    func(*big.Float) *big.Float // nil if there is no reference for such large arguments
	standard func(float64) float64       // the function of package math
	digest   string                      // the digest of the bits of the results
}

func first(f func(*big.Float) (*big.Float, *big.Float)) func(*big.Float) *big.Float {
	return func(x *big.Float) *big.Float { v, _ := f(x); return v }
}

func second(f func(*big.Float) (*big.Float, *big.Float)) func(*big.Float) *big.Float {
	return func(x *big.Float) *big.Float { _, v := f(x); return v }
}

// logBase returns the logarithm to the given base.
func logBase(base float64) func(*big.Float) *big.Float {
	return func(x *big.Float) *big.Float { v := bigLog(x); return v.Quo(v, bigLog(number(base))) }
}

func bigExp2(x *big.Float) *big.Float { return bigExp(x.Mul(x, bigLog(number(2)))) }

// bigExpm1 sums the series of e^x without its first term if x is near 0.
func bigExpm1(x *big.Float) *big.Float {
	if v := bigExp(x); v.Cmp(number(2)) > 0 || v.Cmp(number(0.5)) < 0 {
		return v.Sub(v, number(1))
	}
	return series(new(big.Float).Copy(x), func(t *big.Float, k int64) { t.Mul(t, x).Quo(t, number(float64(k+1))) })
}

// fromOne returns the function that maps x to f(1 - x), where 1 - x is rounded to float64.
func fromOne(f func(*big.Float) *big.Float) func(*big.Float) *big.Float {
	return func(x *big.Float) *big.Float { v, _ := x.Float64(); return f(number(1 - v)) }
}

// power returns the function that maps x to base^x.
func power(base float64) func(*big.Float) *big.Float {
	return func(x *big.Float) *big.Float { v := bigLog(number(base)); return bigExp(v.Mul(v, x)) }
}

var functions = []function{
	{"Exp", Exp, -708, 709, 1, 0, bigExp, math.Exp, "3a65af5834724c47"},
	{"Exp near 0", Exp, -1, 1, 1, 0, bigExp, math.Exp, "3ed8b3684bd59dec"},
	{"Exp2", Exp2, -1022, 1023, 1, 0, bigExp2, math.Exp2, "ea915b461fbe1a94"},
	{"Expm1", Expm1, -40, 700, 1, 0, bigExpm1, math.Expm1, "81e0a7c2fe8291b7"},
	{"Expm1 near 0", Expm1, -1.5, 1.5, 1, 0, bigExpm1, math.Expm1, "6f1172e4dcdb340e"},
	{"Log", Log, 1e-300, 1e300, 1, 0, bigLog, math.Log, "5ff7a31974b5a298"},
	{"Log near 1", Log, 0.5, 2, 1, 0, bigLog, math.Log, "6cd9ca84ae3e9060"},
	{"Log10", Log10, 0.01, 100, 2, 0, logBase(10), math.Log10, "5d603ba76f2fd85e"},
	{"Sin", Sin, -math.Pi / 4, math.Pi / 4, 1, 0, first(bigSincos), math.Sin, "f6c8cbe026b03c9b"},
	{"Sin to 2^29", Sin, -1 << 29, 1 << 29, 1, 1, first(bigSincos), math.Sin, "f8945fbd1cb9f330"},
	{"Sin of large", Sin, 1 << 29, 1e300, 1, 1, nil, math.Sin, "fe0dca5df9d9fc04"},
	{"Cos", Cos, -10, 10, 1, 1, second(bigSincos), math.Cos, "d67e4e1f1ae797ec"},
	{"Cos to 2^29", Cos, -1 << 29, 1 << 29, 1, 1, second(bigSincos), math.Cos, "328f4c8e960465f6"},
	{"Cos of large", Cos, 1 << 29, 1e300, 1, 1, nil, math.Cos, "46032472423cfd2b"},
	{"Acos", Acos, -1, 1, 4, 1, bigAcos, math.Acos, "3ab4a43f34c8229c"},
	{"Erfinv", Erfinv, -1, 1, 4, 0, bigErfinv, math.Erfinv, "36add999064a57f9"},
	{"Erfinv near 1", func(x float64) float64 { return Erfinv(1 - x) }, 0x1p-50, 0.15, 5, 0, fromOne(bigErfinv),
		func(x float64) float64 { return math.Erfinv(1 - x) }, "08cb70cc767600ee"},
	{"Pow of 0.999", func(y float64) float64 { return Pow(0.999, y) }, -1, 1, 2, 0, power(0.999),
		func(y float64) float64 { return math.Pow(0.999, y) }, "3610b6d13331e2fe"},
	{"Pow of 3", func(y float64) float64 { return Pow(3, y) }, -640, 640, 20, 0, power(3),
		func(y float64) float64 { return math.Pow(3, y) }, "09be54fc89797995"},
}

// arguments returns n random arguments in the interval of the function. Half of them are uniformly distributed, and
// half have uniformly distributed exponents. The compiler cannot fuse the arithmetic that computes them, so they are
// the same on every machine.
func (f function) arguments(n int) []float64 {
	r := rand.New(rand.NewPCG(1, 2))
	x := make([]float64, 0, n)
	for len(x) < n {
		v := f.lo + float64((f.hi-f.lo)*r.Float64())
		if len(x)%2 == 1 {
			v = math.Ldexp(float64(0.5+r.Float64()), r.IntN(2100)-1074)
			if r.IntN(2) == 1 {
				v = -v
			}
		}
		if f.lo <= v && v <= f.hi {
			x = append(x, v)
		}
	}
	return x
}

func TestErrorIsBounded(t *testing.T) {
	for _, f := range functions {
		if f.exact == nil {
			continue
		}
		worst, at := 0.0, 0.0
		for _, x := range f.arguments(400) {
			got, want := f.f(x), f.exact(number(x))
			v, _ := want.Float64()
			v = max(math.Abs(v), f.floor)
			unit := math.Nextafter(v, math.Inf(1)) - v
			diff, _ := new(big.Float).Sub(number(got), want).Float64()
			if e := math.Abs(diff) / unit; e > worst {
				worst, at = e, x
			}
		}
		t.Logf("%s: at most %.3f ulp, at %g", f.name, worst, at)
		if worst > f.ulps {
			t.Errorf("%s has an error of %.3f ulp at %g, want at most %g", f.name, worst, at, f.ulps)
		}
	}
}

// Package math is a second reference, also for the large arguments for which TestErrorIsBounded has none.
func TestAgreesWithStandardLibrary(t *testing.T) {
	for _, f := range functions {
		for _, x := range f.arguments(20000) {
			got, want := f.f(x), f.standard(x)
			v := max(math.Abs(want), f.floor)
			if d := math.Abs(got - want); d > 2*f.ulps*(math.Nextafter(v, math.Inf(1))-v) {
				t.Fatalf("%s(%g) is %g, but %g in the standard library", f.name, x, got, want)
			}
		}
	}
}

// The results have the same bits on every machine.
func TestGolden(t *testing.T) {
	for _, f := range functions {
		h := sha256.New()
		for _, x := range f.arguments(20000) {
			h.Write(binary.LittleEndian.AppendUint64(nil, math.Float64bits(f.f(x))))
		}
		if got := hex.EncodeToString(h.Sum(nil)[:8]); got != f.digest {
			t.Errorf("%s: the digest of the results is %s, want %s", f.name, got, f.digest)
		}
	}
}

func TestSpecialValues(t *testing.T) {
	zero, one := math.Copysign(0, -1), 1.0
	values := []float64{0, zero, one, -one, 2, -2, 3, -3, 0.5, -0.5, 1e-320, -1e-320, 5e-324, 1e300, -1e300,
		709.8, -745.2, -740, 1024, -1074, -1075, -1060.5,
		1 << 53, -1 << 53, 1<<53 + 2, 1 << 62, 1 << 63, -1 << 63, math.MaxFloat64, -math.MaxFloat64,
		math.Inf(1), math.Inf(-1), math.NaN()}
	same := func(name string, got, want float64) {
		t.Helper()
		if got != got && want != want {
			return
		}
		if d := math.Abs(got - want); got != want && !(d <= 1e-15*math.Abs(want) || d <= 5e-324) ||
			math.Signbit(got) != math.Signbit(want) {
			t.Errorf("%s is %g, want %g", name, got, want)
		}
	}
	for _, x := range values {
		for _, f := range functions {
			if f.name[:3] != "Pow" {
				want := f.standard(x)
				if 0 < x && x < 0x1p-1022 && f.name[:3] == "Log" { // math.Log on amd64 does not handle subnormal numbers
					want = f.standard(x*0x1p52) - f.standard(0x1p52)
				}
				same(f.name+" of a special value", f.f(x), want)
			}
		}
		for _, y := range values {
			same("Pow of special values", Pow(x, y), math.Pow(x, y))
		}
	}
	for k := -1074; k < 1024; k++ {
		if got := Exp2(float64(k)); got != math.Ldexp(1, k) {
			t.Errorf("Exp2(%d) is %g, want exactly 2^%d", k, got, k)
		}
	}
}

func TestMonotonic(t *testing.T) {
	for _, tc := range []struct {
		name   string
		f      func(float64) float64
		lo, hi float64
	}{{"Exp", Exp, -5, 5}, {"Log", Log, 0.01, 20}} {
		const n = 50000
		last := math.Inf(-1)
		for i := range n {
			v := tc.f(tc.lo + float64((tc.hi-tc.lo)*float64(i))/n)
			if v < last {
				t.Fatalf("%s decreases at point %d of %d", tc.name, i, n)
			}
			last = v
		}
	}
}
