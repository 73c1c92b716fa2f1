package kernel

import (
	"math"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"testing"
)

// matmulCase is a batch of products with its operands.
type matmulCase[T Float] struct {
	transA, transB bool
	batch, m, n, k int
	a, b           []T
}

// at returns element (i, l) of op(a) and element (l, j) of op(b) in product e.
func (p *matmulCase[T]) at(e, i, j, l int) (x, y T) {
	x, y = p.a[(e*p.m+i)*p.k+l], p.b[(e*p.k+l)*p.n+j]
	if p.transA {
		x = p.a[(e*p.k+l)*p.m+i]
	}
	if p.transB {
		y = p.b[(e*p.n+j)*p.k+l]
	}
	return x, y
}

// defined computes the result as the documentation of MatMul defines its bits.
func (p *matmulCase[T]) defined(fma func(x, y, z T) T) []T {
	out := make([]T, 0, p.batch*p.m*p.n)
	for e := range p.batch {
		for i := range p.m {
			for j := range p.n {
				var total T
				for q := 0; q < p.k; q += 128 {
					var sum T
					for l := q; l < min(p.k, q+128); l++ {
						x, y := p.at(e, i, j, l)
						sum = fma(x, y, sum)
					}
					if q == 0 {
						total = sum
					} else {
						total += sum
					}
				}
				out = append(out, total)
			}
		}
	}
	return out
}

func (p *matmulCase[T]) run() []T {
	out := make([]T, p.batch*p.m*p.n)
	for i := range out {
		out[i] = T(math.NaN()) // the previous content must not matter
	}
	NewMatMul[T](p.transA, p.transB, p.batch, p.m, p.n, p.k).Run(out, p.a, p.b)
	return out
}

func newProduct[T Float](rng *rand.Rand, batch, m, n, k int) *matmulCase[T] {
	p := &matmulCase[T]{transA: rng.IntN(2) == 0, transB: rng.IntN(2) == 0, batch: batch, m: m, n: n, k: k}
	draw := func(n int) []T {
		v := make([]T, n)
		for i := range v {
			v[i] = T(rng.NormFloat64())
		}
		return v
	}
	p.a, p.b = draw(batch*m*k), draw(batch*k*n)
	return p
}

// fused32 returns x·y + z with a single rounding. The product is exact in float64. The sum is rounded to odd in
// float64, so that rounding it again to float32 gives the right result.
func fused32(x, y, z float32) float32 {
	p, c := float64(x)*float64(y), float64(z)
	s := p + c
	v := s - p
	if lost := (p - (s - v)) + (c - v); lost != 0 && !math.IsNaN(lost) && math.Float64bits(s)&1 == 0 {
		s = math.Nextafter(s, math.Copysign(math.Inf(1), lost))
	}
	return float32(s)
}

func TestMatMulBits(t *testing.T) {
	for seed := range uint64(240) {
		rng := rand.New(rand.NewPCG(seed, 6))
		size := func(n int) int { return 1 + rng.IntN(n) }
		batch, m, n, k := size(3), size(70), size(70), size(70)
		switch seed % 12 {
		case 0: // many tiles
			batch, m, n, k = 1, 70+size(120), 48+size(60), 129+size(20)
		case 1: // several runs
			batch, k = 1, 100+size(400)
		case 2: // few columns
			n, m = size(15), size(300)
		case 3: // few rows
			m, n = size(4), size(300)
		case 4: // pieces of several products
			batch, m, n, k = 8+size(90), size(9), size(9), size(20)
		case 5: // sums of one or two terms
			k = size(2)
		}
		p := newProduct[float32](rng, batch, m, n, k)
		if seed%5 == 4 { // infinities and NaN propagate, 0 times infinity included
			for range 3 {
				p.a[rng.IntN(len(p.a))] = []float32{0, float32(math.Inf(1)), float32(math.NaN())}[rng.IntN(3)]
				p.b[rng.IntN(len(p.b))] = []float32{0, float32(math.Inf(-1)), float32(math.NaN())}[rng.IntN(3)]
			}
		}
		if !slices.EqualFunc(p.run(), p.defined(fused32), sameBits) {
			t.Fatalf("seed %d: %d products [%d,%d]·[%d,%d], transposed %v, %v: got other bits than by definition",
				seed, batch, m, k, k, n, p.transA, p.transB)
		}
		d := newProduct[float64](rng, batch, m, n, k)
		if !slices.EqualFunc(d.run(), d.defined(math.FMA), sameBits) {
			t.Fatalf("seed %d: %d products [%d,%d]·[%d,%d] in float64, transposed %v, %v: got other bits than by definition",
				seed, batch, m, k, k, n, d.transA, d.transB)
		}
	}
}

// The results are close to the exact products.
func TestMatMulError(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 7))
		p := newProduct[float32](rng, 1+rng.IntN(3), 1+rng.IntN(70), 1+rng.IntN(70), 1+rng.IntN(600))
		got := p.run()
		for e := range p.batch {
			for i := range p.m {
				for j := range p.n {
					want, size := 0.0, 0.0
					for l := range p.k {
						x, y := p.at(e, i, j, l)
						want += float64(x) * float64(y)
						size += math.Abs(float64(x) * float64(y))
					}
					// At most 128 + k/128 roundings, each of half a unit in the last place (Higham, "Accuracy and Stability of
					// Numerical Algorithms", 2002, eq. 3.5).
					bound := float64(128+p.k/128) * 0x1p-24 * 1.01 * size
					if v := got[(e*p.m+i)*p.n+j]; math.Abs(float64(v)-want) > bound {
						t.Fatalf("seed %d: element %d,%d is %v, want %v within %v", seed, i, j, v, want, bound)
					}
				}
			}
		}
	}
}

// 0 times infinity and 0 times NaN are NaN in every column, however few rows or columns there are.
func TestMatMulPropagates(t *testing.T) {
	for _, bad := range []float32{float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())} {
		for m := 1; m < 40; m += 3 {
			for n := 1; n < 60; n += 4 {
				a, b, c := make([]float32, m*5), make([]float32, 5*n), make([]float32, m*n)
				a[(m-1)*5+3] = bad
				NewMatMul[float32](false, false, 1, m, n, 5).Run(c, a, b)
				for i, v := range c {
					if isNaN := v != v; isNaN != (i/n == m-1) {
						t.Fatalf("[%d,5]·[5,%d], %v in the last row: element %d is %v, want NaN in the last row only",
							m, n, bad, i, v)
					}
				}
			}
		}
	}
}

// A submatrix of a product has the same bits as the product of the corresponding rows and columns, on one goroutine and
// on several.
func TestMatMulParts(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 8))
		m, n, k := 1+rng.IntN(300), 1+rng.IntN(200), 1+rng.IntN(300)
		p := newProduct[float32](rng, 1, m, n, k)
		p.transA, p.transB = false, true
		whole := p.run()
		shared.mu.Lock() // makes Parallel run loops on its caller's goroutine
		alone := p.run()
		shared.mu.Unlock()
		if !slices.Equal(whole, alone) {
			t.Fatalf("seed %d: [%d,%d]·[%d,%d] has different bits on one goroutine and on several", seed, m, k, k, n)
		}
		i0, j0 := rng.IntN(m), rng.IntN(n)
		part := &matmulCase[float32]{transB: true, batch: 1, m: 1 + rng.IntN(m-i0), n: 1 + rng.IntN(n-j0), k: k}
		part.a, part.b = p.a[i0*k:], p.b[j0*k:]
		for i, v := range part.run() {
			if w := whole[(i0+i/part.n)*n+j0+i%part.n]; v != w {
				t.Fatalf("seed %d: element %d of a submatrix [%d,%d] of [%d,%d] is %v, want %v",
					seed, i, part.m, part.n, m, n, v, w)
			}
		}
	}
}

func TestMatMulAllocatesNothing(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection empties the sync.Pool of the micro-kernel for ARM
	for _, s := range matMulShapes {
		p := NewMatMul[float32](s.transA, s.transB, s.batch, s.m, s.n, s.k)
		dst, a, b := make([]float32, s.batch*s.m*s.n), make([]float32, s.batch*s.m*s.k), make([]float32, s.batch*s.k*s.n)
		n := 1.0
		for range 20 { // the first runs fill the sync.Pool, until every worker has taken part in one
			if n = testing.AllocsPerRun(3, func() { p.Run(dst, a, b) }); n == 0 {
				break
			}
		}
		if n != 0 {
			t.Errorf("%+v: %v allocations per run, want none", s, n)
		}
	}
}
