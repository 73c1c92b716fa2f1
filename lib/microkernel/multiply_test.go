package microkernel

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

// problem is a product with its operands. a and b end where the product stops reading. In c, the elements outside the
// result are canaries.
type problem[T Float] struct {
	Product
	a, b, c []T
}

const canary = -12345.5

func newProblem[T Float](rng *rand.Rand, value func() T) problem[T] {
	p := problem[T]{Product: Product{Rows: 1 + rng.IntN(40), Cols: 1 + rng.IntN(Columns), Add: rng.IntN(2) == 0}}
	p.Stride = p.Cols + rng.IntN(20)
	at := make([]int, 1+rng.IntN(40))
	for i := range at {
		at[i] = rng.IntN(200)
	}
	p.Off = NewOffsets(at)
	draw := func(n int) []T {
		v := make([]T, n)
		for i := range v {
			v[i] = value()
		}
		return v
	}
	p.Next = len(at)*Panel + rng.IntN(9)
	p.a, p.b = draw((p.Rows-1)/Panel*p.Next+len(at)*Panel), draw(p.Off.most[len(at)-1]+p.Cols)
	p.c = draw(p.Rows*p.Stride + 64)
	for i := range p.c {
		if i/p.Stride >= p.Rows || i%p.Stride >= p.Cols {
			p.c[i] = canary
		}
	}
	return p
}

func same[T Float](a, b T) bool {
	return math.Float64bits(float64(a)) == math.Float64bits(float64(b)) || a != a && b != b
}

// testSameBits requires that every implementation gives the same bits as plain and writes nothing outside the result.
// anyBits draws arbitrary bits, which include infinities, NaN and subnormal numbers.
func testSameBits[T Float](t *testing.T, implementations map[string]multiplyFunc[T], seeds, stream uint64,
	anyBits func(rng *rand.Rand) T) {
	for name, multiply := range implementations {
		for seed := range seeds {
			rng := rand.New(rand.NewPCG(seed, stream))
			p := newProblem(rng, func() T {
				if seed%4 == 3 {
					return anyBits(rng)
				}
				return T(rng.NormFloat64())
			})
			want, got := slices.Clone(p.c), slices.Clone(p.c)
			plain(&p.Product, p.a, p.b, want)
			multiply(&p.Product, p.a, p.b, got)
			for i := range want {
				if !same(got[i], want[i]) {
					t.Fatalf("%s, seed %d, %d rows of %d columns, %d terms, add %v: element %d is %v, want %v",
						name, seed, p.Rows, p.Cols, p.Off.Len(), p.Add, i, got[i], want[i])
				}
			}
		}
	}
}

type multiplyFunc[T Float] = func(p *Product, a, b, c []T)

func TestSameBits(t *testing.T) {
	implementations := assembly()
	implementations["chosen"] = multiply
	testSameBits(t, implementations, 3000, 1, func(rng *rand.Rand) float32 { return math.Float32frombits(rng.Uint32()) })
}

func TestSameBits64(t *testing.T) {
	implementations := assembly64()
	implementations["chosen"] = multiply64
	testSameBits(t, implementations, 2000, 2, func(rng *rand.Rand) float64 { return math.Float64frombits(rng.Uint64()) })
}

// fma32 and row32, which define the results, give the exact sum rounded once.
func TestFusedMultiplyAdd(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200000 {
		x, y := float32(rng.NormFloat64()), float32(rng.NormFloat64())
		z := float32(-float64(x) * float64(y)) // cancels most of the product
		switch rng.IntN(5) {
		case 0:
			z = float32(rng.NormFloat64())
		case 1:
			z = math.Float32frombits(math.Float32bits(z) + uint32(rng.IntN(9)) - 4)
		case 3: // subnormal results
			x, y, z = x*0x1p-70, y*0x1p-70, z*0x1p-140
		case 2: // the lost part is near half a unit in the last place
			x = math.Float32frombits(0x3f800000 | rng.Uint32()&7)
			y = math.Float32frombits(0x33800000 | rng.Uint32()&7)
			z = math.Float32frombits(0x3f800000 | rng.Uint32()&7)
		}
		exact := new(big.Float).SetPrec(200).Mul(big.NewFloat(float64(x)), big.NewFloat(float64(y)))
		exact.Add(exact, big.NewFloat(float64(z)))
		want, _ := exact.Float32()
		sum := []float32{z}
		row32(sum, []float32{y}, x)
		if got := fma32(x, y, z); got != want || sum[0] != want {
			t.Fatalf("%v·%v + %v: fma32 gives %v, row32 %v, want %v", x, y, z, got, sum[0], want)
		}
	}
	inf := float32(math.Inf(1))
	if fma32(inf, 1, 1) != inf || fma32(2, 3, -inf) != -inf || !math.IsNaN(float64(fma32(inf, 0, 1))) ||
		fma32(math.MaxFloat32, 2, 0) != inf {
		t.Error("fma32 does not give the infinity or NaN that IEEE 754 prescribes for infinite operands and for overflow")
	}
}

// A product panics if it would read or write outside its operands, or if it has too many columns or no terms.
func testShortOperands[T Float](t *testing.T) {
	p := Product{Off: Strided(3, 5), Rows: 18, Cols: 5, Stride: 7, Next: 50}
	a, b, c := make([]T, 50+3*Panel), make([]T, 15), make([]T, 17*7+5)
	Multiply(&p, a, b, c)
	for i, bad := range []problem[T]{
		{p, a[1:], b, c}, {p, a, b[1:], c}, {p, a, b, c[1:]},
		{Product{Off: Strided(3, 5), Rows: 1, Cols: Columns + 1, Stride: 70}, a, make([]T, 99), c},
		{Product{Rows: 1, Cols: 1}, a, b, c},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("invalid product %d did not panic", i)
				}
			}()
			Multiply(&bad.Product, bad.a, bad.b, bad.c)
		}()
	}
}

func TestShortOperands(t *testing.T) {
	testShortOperands[float32](t)
	testShortOperands[float64](t)
}

func benchmarkMultiply[T Float](b *testing.B, implementations map[string]multiplyFunc[T], k, distance int, cols []int) {
	for name, multiply := range implementations {
		for _, cols := range cols {
			p := Product{Off: Strided(k, distance), Rows: 64, Cols: cols, Stride: 1040, Next: k * Panel, Add: true}
			x, y, z := make([]T, 4*k*Panel), make([]T, k*distance), make([]T, 64*1040)
			for _, v := range [][]T{x, y} {
				for i := range v {
					v[i] = T(rand.NormFloat64())
				}
			}
			b.Run(fmt.Sprintf("%s/%d", name, cols), func(b *testing.B) {
				for b.Loop() {
					multiply(&p, x, y, z)
				}
				b.ReportMetric(2*float64(b.N)*float64(64*cols*k)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}

func BenchmarkMultiply(b *testing.B) {
	implementations := assembly()
	implementations["chosen"] = multiply
	benchmarkMultiply(b, implementations, 144, 64, []int{48, 32, 16})
}

func BenchmarkMultiply64(b *testing.B) { benchmarkMultiply(b, assembly64(), 256, 48, []int{48, 24, 8}) }
