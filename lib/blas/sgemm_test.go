package blas

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// canary stands where a product has no business.
const canary = float32(-12345.5)

// problem is a product with its operands in buffers that go on after the matrices.
type problem struct {
	ta, tb        bool
	m, n, k       int
	lda, ldb, ldc int
	alpha, beta   float32
	a, b, c       []float32
}

func (p problem) String() string {
	return fmt.Sprintf("%v %v %dx%dx%d strides %d %d %d, %v and %v", p.ta, p.tb, p.m, p.n, p.k, p.lda, p.ldb, p.ldc, p.alpha, p.beta)
}

func newProblem(rng *rand.Rand, m, n, k int) problem {
	p := problem{ta: rng.IntN(2) == 0, tb: rng.IntN(2) == 0, m: m, n: n, k: k}
	p.alpha = []float32{1, 1, -1, 0.37, 0}[rng.IntN(5)]
	p.beta = []float32{0, 0, 1, 1, -0.6}[rng.IntN(5)]
	ra, ca, rb, cb := m, k, k, n
	if p.ta {
		ra, ca = k, m
	}
	if p.tb {
		rb, cb = n, k
	}
	p.lda, p.ldb, p.ldc = max(1, ca)+rng.IntN(3), max(1, cb)+rng.IntN(3), n+rng.IntN(3)
	draw := func(rows, cols, ld int) []float32 { // the last row ends where its columns do
		v := make([]float32, max(0, (rows-1)*ld+cols))
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		return v
	}
	p.a, p.b = draw(ra, ca, p.lda), draw(rb, cb, p.ldb)
	p.c = slices.Grow(draw(m, n, p.ldc), 64)
	for i := range p.m - 1 {
		for j := p.n; j < p.ldc; j++ {
			p.c[i*p.ldc+j] = canary
		}
	}
	after := p.c[len(p.c):cap(p.c)]
	for i := range after {
		after[i] = canary
	}
	return p
}

// run computes the product of p on u and returns c with all that lies between and behind its rows.
func (p problem) run(u *unit) []float32 {
	c := slices.Clone(p.c[:cap(p.c)])
	sgemm(u, p.m, p.n, p.k, p.alpha, stored(p.ta, p.a, p.lda), stored(p.tb, p.b, p.ldb), p.beta, matrix{c[:len(p.c)], p.ldc, 1})
	return c
}

// defined returns c as the comment at the head of sgemm.go defines it: the bits that every unit must give.
func (p problem) defined() []float32 {
	a, b := stored(p.ta, p.a, p.lda), stored(p.tb, p.b, p.ldb)
	out := slices.Clone(p.c[:cap(p.c)])
	for i := range p.m {
		for j := range p.n {
			c, beta := &out[i*p.ldc+j], p.beta
			if beta == 0 {
				*c = 0
			}
			if p.k == 0 || p.alpha == 0 {
				*c *= beta
			} else {
				for l := 0; l < p.k; l += depth {
					var run float32
					for q := l; q < min(p.k, l+depth); q++ {
						run += float32(a.data[i*a.row+q*a.col] * b.data[q*b.row+j*b.col])
					}
					if beta == 0 {
						*c = p.alpha * run
					} else {
						*c = float32(p.alpha*run) + float32(beta**c)
					}
					beta = 1
				}
			}
		}
	}
	return out
}

// check fails unless every unit gives every element its defined bits and leaves everything around c as it was.
func (p problem) check(t *testing.T, us ...*unit) {
	t.Helper()
	want := p.defined()
	for _, u := range us {
		for at, v := range p.run(u) {
			if w := want[at]; math.Float32bits(v) != math.Float32bits(w) && !(v != v && w != w) {
				t.Fatalf("%s: %v at row %d, column %d: got %x, want %x", u.name, p, at/p.ldc, at%p.ldc, v, w)
			}
		}
	}
}

// Every unit gives the same bits, those of the definition, whatever the shape, and writes nothing else.
func TestSgemmBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for trial := range 300 {
		size := func() int { return 1 + rng.IntN([]int{4, 12, 70, 150}[rng.IntN(4)]) }
		m, n, k := size(), size(), size()
		switch trial % 10 {
		case 0:
			k += 2 * depth
		case 1:
			n += 200
		case 2:
			m += 200
		case 3:
			k = []int{0, depth - 1, depth, depth + 1, 2 * depth}[rng.IntN(5)]
		}
		p := newProblem(rng, m, n, k)
		p.check(t, units...)
	}
}

// The vectors' edges one by one: every number of rows and columns up to two tiles and more of each unit.
func TestSgemmEdges(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, u := range units {
		for m := 1; m <= 9; m++ {
			for n := 1; n <= 7*min(u.lanes, 16)+1; n++ {
				p := newProblem(rng, m, n, 1+rng.IntN(20))
				p.check(t, u)
			}
		}
	}
}

// What is not finite stays where it belongs: beta = 0 forgets c, and 0·Inf is no zero.
func TestSgemmNotFinite(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	bad := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0, float32(math.Copysign(0, -1)), math.SmallestNonzeroFloat32, math.MaxFloat32}
	for range 200 {
		p := newProblem(rng, 1+rng.IntN(20), 1+rng.IntN(70), 1+rng.IntN(40))
		for range 4 {
			p.a[rng.IntN(len(p.a))] = bad[rng.IntN(len(bad))]
			p.b[rng.IntN(len(p.b))] = bad[rng.IntN(len(bad))]
		}
		p.c[(p.m-1)*p.ldc+p.n-1] = bad[rng.IntN(len(bad))]
		p.check(t, units...)
	}
}

// A row's bits do not depend on the rows computed with it, nor a column's on the columns: callers may cut products as
// they like.
func TestSgemmCut(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for range 100 {
		p := newProblem(rng, 2+rng.IntN(30), 2+rng.IntN(150), 1+rng.IntN(300))
		for _, u := range units {
			whole := p.run(u)
			q := p
			at, row := 1+rng.IntN(p.m-1), rng.IntN(2) == 0
			if row {
				q.a, q.m = stored(p.ta, p.a, p.lda).from(at, 0), p.m-at
				q.c = p.c[at*p.ldc:]
				whole = whole[at*p.ldc:]
			} else {
				at = 1 + rng.IntN(p.n-1)
				q.b, q.n = stored(p.tb, p.b, p.ldb).from(0, at), p.n-at
				q.c = p.c[at:]
				whole = whole[at:]
			}
			part := q.run(u)
			for i := range q.m {
				for j := range q.n {
					if math.Float32bits(part[i*q.ldc+j]) != math.Float32bits(whole[i*q.ldc+j]) {
						t.Fatalf("%s: %v cut at %d changed (%d, %d)", u.name, p, at, i, j)
					}
				}
			}
		}
	}
}

// Against a sum in float64, with the bound of a recursive sum (Higham, "Accuracy and Stability of Numerical
// Algorithms", section 3.1): depth roundings within a run, one for each run, and those of alpha and beta.
func TestSgemmAccuracy(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for range 25 {
		p := newProblem(rng, 1+rng.IntN(40), 1+rng.IntN(90), 1+rng.IntN(700))
		a, b := stored(p.ta, p.a, p.lda), stored(p.tb, p.b, p.ldb)
		gamma := float64(min(p.k, depth)+(p.k+depth-1)/depth+3) * 0x1p-24
		for _, u := range units {
			got := p.run(u)
			for i := range p.m {
				for j := range p.n {
					var sum, size float64
					for l := range p.k {
						x := float64(a.from(i, l)[0]) * float64(b.from(l, j)[0])
						sum, size = sum+x, size+math.Abs(x)
					}
					c := float64(p.beta) * float64(p.c[i*p.ldc+j])
					want := float64(p.alpha)*sum + c
					bound := 1.01 * gamma * (math.Abs(float64(p.alpha))*size + math.Abs(c))
					if d := math.Abs(float64(got[i*p.ldc+j]) - want); d > bound {
						t.Fatalf("%s: %v at (%d, %d): off by %g, bound %g", u.name, p, i, j, d, bound)
					}
				}
			}
		}
	}
}

func TestSgemmConcurrent(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	lib := pureGo{}
	var wait sync.WaitGroup
	for range 8 {
		p := newProblem(rng, 40, 100, 150)
		want := p.run(units[0])[:len(p.c)]
		wait.Go(func() {
			for range 50 {
				c := slices.Clone(p.c)
				lib.Sgemm(p.ta, p.tb, p.m, p.n, p.k, p.alpha, p.a, p.lda, p.b, p.ldb, p.beta, c, p.ldc)
				if !slices.Equal(c, want) {
					t.Errorf("%v: another result beside others", p)
					return
				}
			}
		})
	}
	wait.Wait()
}

func TestSgemmDoesNotAllocate(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	for _, u := range units {
		p := newProblem(rng, 30, 70, 140)
		c := matrix{p.c, p.ldc, 1}
		a, b := stored(p.ta, p.a, p.lda), stored(p.tb, p.b, p.ldb)
		if n := testing.AllocsPerRun(20, func() { sgemm(u, p.m, p.n, p.k, 1, a, b, 0, c) }); n >= 1 {
			t.Errorf("%s: %v allocations a call", u.name, n)
		}
	}
}
