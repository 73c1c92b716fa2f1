package microkernel

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

// problem is a product with operands that end where it stops reading, in buffers that go on.
type problem struct {
	Product
	a, b, c []float32
}

const canary = float32(-12345.5)

func newProblem(rng *rand.Rand, value func() float32) problem {
	p := problem{Product: Product{Rows: 1 + rng.IntN(40), Cols: 1 + rng.IntN(Columns), Add: rng.IntN(2) == 0}}
	p.Stride = p.Cols + rng.IntN(20)
	at := make([]int, 1+rng.IntN(40))
	for i := range at {
		at[i] = rng.IntN(200)
	}
	p.Off = NewOffsets(at)
	draw := func(n int) []float32 {
		v := make([]float32, n)
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

func same(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

// ways are the ways of multiplying that this machine has, apart from the definition.
func ways() map[string]func(p *Product, a, b, c []float32) {
	w := map[string]func(p *Product, a, b, c []float32){"chosen": multiply}
	for name, f := range assembly() {
		w[name] = f
	}
	return w
}

// Every way gives the bits of the definition, and writes nothing beside its result.
func TestSameBits(t *testing.T) {
	ordinary := func(rng *rand.Rand) func() float32 {
		return func() float32 { return float32(rng.NormFloat64()) }
	}
	wild := func(rng *rand.Rand) func() float32 { // any bits: infinities, NaN, subnormal numbers
		return func() float32 { return math.Float32frombits(rng.Uint32()) }
	}
	for name, multiply := range ways() {
		for seed := range uint64(3000) {
			rng := rand.New(rand.NewPCG(seed, 1))
			values := ordinary
			if seed%4 == 3 {
				values = wild
			}
			p := newProblem(rng, values(rng))
			want, got := slices.Clone(p.c), slices.Clone(p.c)
			plain(&p.Product, p.a, p.b, want)
			multiply(&p.Product, p.a, p.b, got)
			for i := range want {
				if !same(got[i], want[i]) {
					t.Fatalf("%s, seed %d, %d rows of %d columns, %d terms, add %v: element %d is %v, want %v", name, seed, p.Rows, p.Cols, p.Off.Len(), p.Add, i, got[i], want[i])
				}
			}
		}
	}
}

// The definition's fused multiply-add is the exact sum rounded once.
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
		case 2: // a half of a unit in the last place, and next to nothing
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
			t.Fatalf("%v·%v + %v is %v, in rows %v, want %v", x, y, z, got, sum[0], want)
		}
	}
	inf := float32(math.Inf(1))
	if fma32(inf, 1, 1) != inf || fma32(2, 3, -inf) != -inf || !math.IsNaN(float64(fma32(inf, 0, 1))) || fma32(math.MaxFloat32, 2, 0) != inf {
		t.Error("infinities are lost")
	}
}

// A product that would read or write outside its operands panics before it does.
func TestShortOperands(t *testing.T) {
	good := problem{Product: Product{Off: Strided(3, 5), Rows: 18, Cols: 5, Stride: 7, Next: 50}}
	good.a, good.b, good.c = make([]float32, 50+3*Panel), make([]float32, 15), make([]float32, 17*7+5)
	good.Multiply32(good.a, good.b, good.c)
	for i, p := range []problem{
		{good.Product, good.a[1:], good.b, good.c}, {good.Product, good.a, good.b[1:], good.c}, {good.Product, good.a, good.b, good.c[1:]},
		{Product{Off: Strided(3, 5), Rows: 1, Cols: Columns + 1, Stride: 70}, good.a, make([]float32, 99), good.c},
		{Product{Rows: 1, Cols: 1}, good.a, good.b, good.c},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("case %d ran", i)
				}
			}()
			p.Multiply32(p.a, p.b, p.c)
		}()
	}
}

func BenchmarkMultiply(b *testing.B) {
	for name, multiply := range ways() {
		for _, cols := range []int{48, 32, 16} {
			p := Product{Off: Strided(144, 64), Rows: 64, Cols: cols, Stride: 1040, Next: 144 * Panel, Add: true}
			x, y, z := make([]float32, 4*144*Panel), make([]float32, 144*64), make([]float32, 64*1040)
			for _, v := range [][]float32{x, y} {
				for i := range v {
					v[i] = float32(rand.NormFloat64())
				}
			}
			b.Run(fmt.Sprintf("%s/%d", name, cols), func(b *testing.B) {
				for b.Loop() {
					multiply(&p, x, y, z)
				}
				b.ReportMetric(2*float64(b.N)*float64(64*cols*144)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
