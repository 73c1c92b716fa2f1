package microkernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// problem64 is problem in float64.
type problem64 struct {
	Product
	a, b, c []float64
}

const canary64 = -12345.5

func newProblem64(rng *rand.Rand, value func() float64) problem64 {
	p := problem64{Product: Product{Rows: 1 + rng.IntN(40), Cols: 1 + rng.IntN(Columns), Add: rng.IntN(2) == 0}}
	p.Stride = p.Cols + rng.IntN(20)
	at := make([]int, 1+rng.IntN(40))
	for i := range at {
		at[i] = rng.IntN(200)
	}
	p.Off = NewOffsets(at)
	draw := func(n int) []float64 {
		v := make([]float64, n)
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
			p.c[i] = canary64
		}
	}
	return p
}

func same64(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) || a != a && b != b }

// Every way in float64 gives the bits of the definition, and writes nothing outside its result.
func TestSameBits64(t *testing.T) {
	ways := assembly64()
	ways["chosen"] = multiply64
	for name, multiply := range ways {
		for seed := range uint64(2000) {
			rng := rand.New(rand.NewPCG(seed, 2))
			value := rng.NormFloat64
			if seed%4 == 3 { // any bits: infinities, NaN, subnormal numbers
				value = func() float64 { return math.Float64frombits(rng.Uint64()) }
			}
			p := newProblem64(rng, value)
			want, got := slices.Clone(p.c), slices.Clone(p.c)
			plain(&p.Product, p.a, p.b, want)
			multiply(&p.Product, p.a, p.b, got)
			for i := range want {
				if !same64(got[i], want[i]) {
					t.Fatalf("%s, seed %d, %d rows of %d columns, %d terms, add %v: element %d is %v, want %v",
						name, seed, p.Rows, p.Cols, p.Off.Len(), p.Add, i, got[i], want[i])
				}
			}
		}
	}
}

// A product in float64 that would read or write outside its operands panics before it does.
func TestShortOperands64(t *testing.T) {
	p := Product{Off: Strided(3, 5), Rows: 18, Cols: 5, Stride: 7, Next: 50}
	a, b, c := make([]float64, 50+3*Panel), make([]float64, 15), make([]float64, 17*7+5)
	Multiply(&p, a, b, c)
	for i, short := range [][3][]float64{{a[1:], b, c}, {a, b[1:], c}, {a, b, c[1:]}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("case %d ran", i)
				}
			}()
			Multiply(&p, short[0], short[1], short[2])
		}()
	}
}

func BenchmarkMultiply64(b *testing.B) {
	for name, multiply := range assembly64() {
		for _, cols := range []int{48, 24, 8} {
			p := Product{Off: Strided(256, 48), Rows: 64, Cols: cols, Stride: 1040, Next: 256 * Panel, Add: true}
			x, y, z := make([]float64, 4*256*Panel), make([]float64, 256*48), make([]float64, 64*1040)
			b.Run(fmt.Sprintf("%s/%d", name, cols), func(b *testing.B) {
				for b.Loop() {
					multiply(&p, x, y, z)
				}
				b.ReportMetric(2*float64(b.N)*float64(64*cols*256)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
