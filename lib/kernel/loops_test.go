package kernel

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

const canary = float32(-12345.5)

// floats returns n random numbers. They are normally distributed or, if wild is true, have arbitrary bits, which
// include infinities, NaN and subnormal numbers.
func floats(rng *rand.Rand, n int, wild bool) []float32 {
	inf := float32(math.Inf(1))
	special := []float32{
		0, float32(math.Copysign(0, -1)), 1, -1, 88.7, 88.8, -87.3, -87.4, inf, -inf, float32(math.NaN()), 1e-40,
	}
	v := make([]float32, n)
	for i := range v {
		switch {
		case !wild:
			v[i] = float32(10 * rng.NormFloat64())
		case rng.IntN(4) == 0:
			v[i] = special[rng.IntN(len(special))]
		default:
			v[i] = math.Float32frombits(rng.Uint32())
		}
	}
	return v
}

// sameBits reports whether a and b have the same bits. All NaNs count as equal, since the payload depends on the order
// of operands.
func sameBits[T Float](a, b T) bool {
	return math.Float64bits(float64(a)) == math.Float64bits(float64(b)) || a != a && b != b
}

// eachLoop calls test for every instruction set of this machine and for many lengths n, including 0. Meanwhile, kernels
// use the loops in Go.
func eachLoop(t *testing.T, test func(t *testing.T, m *assembly, rng *rand.Rand, n int, wild bool)) {
	t.Helper()
	defer func(m *assembly) { machine = m }(machine)
	machine = nil
	for name, m := range assemblies() {
		t.Run(name, func(t *testing.T) {
			for n := range 340 {
				if n > 300 {
					n = 1000 + 13*n
				}
				test(t, m, rand.New(rand.NewPCG(uint64(n), 1)), n, n%2 == 1)
				test(t, m, rand.New(rand.NewPCG(uint64(n), 2)), n, n%2 == 0)
			}
		})
	}
}

// Loops in assembly give the same bits as the loops in Go, also in place. They write nothing beyond the end of dst.
func TestLoopsGiveTheBitsOfGo(t *testing.T) {
	eachLoop(t, func(t *testing.T, m *assembly, rng *rand.Rand, n int, wild bool) {
		a, b, x := floats(rng, n+1, wild)[1:], floats(rng, n+3, wild)[3:], floats(rng, 1, wild)
		check := func(what any, want []float32, run func(dst, a *float32)) {
			t.Helper()
			for _, inPlace := range []bool{false, true} {
				got := make([]float32, n+20)
				for i := range got {
					got[i] = canary
				}
				if from := a; inPlace {
					copy(got, a)
					run(first(got), first(got))
				} else {
					run(first(got), first(from))
				}
				for i, v := range got {
					if i >= n && v != canary || i < n && !sameBits(v, want[i]) {
						t.Fatalf("%v, in place %v: element %d of %d is %v; want the Go loop's result, and %v beyond the end",
							what, inPlace, i, n, v, canary)
					}
				}
			}
		}
		for _, in := range []Instr{
			{Code: Affine, P: 1.5}, {Code: Affine, P: -1.5, Q: 0.3}, {Code: Add}, {Code: Sub}, {Code: Mul}, {Code: Div},
			{Code: Sigmoid}, {Code: Exp}, {Code: Sqrt}, {Code: Heaviside}, {Code: SiLU}, {Code: SiLU, P: 1}, {Code: SiLU, P: 2},
		} {
			want, f := make([]float32, n), siluPolynomials(int(in.P))
			operate(&in, &f, want, a, b, a)
			machine = m
			l := newLoops[float32](&in)
			machine = nil
			run := func(what any, singleA, singleB bool) {
				t.Helper()
				check(what, want, func(dst, v *float32) {
					l, d, v1 := l, unsafe.Slice(dst, n), unsafe.Slice(v, n)
					ok := n == 0
					switch {
					case singleA:
						ok = ok || runLoops(&l, d, x, v1, true, false)
					case singleB:
						ok = ok || runLoops(&l, d, v1, x, false, true)
					default:
						ok = ok || runLoops(&l, d, v1, b, false, false)
					}
					if !ok {
						t.Fatalf("%v has no loop", what)
					}
				})
			}
			run(in, false, false)
			if in.Code != Add && in.Code != Sub && in.Code != Mul && in.Code != Div {
				continue
			}
			withScalar(in.Code, want, x, a, true)
			run(in, true, false)
			withScalar(in.Code, want, a, x, false)
			run(in, false, true)
		}
		want := slices.Clone(a)
		largerInto(want, b)
		check("larger", want, func(dst, a *float32) { m.larger(dst, a, first(b), n) })
		expShifted(want, a, x[0])
		check("e^(a-x)", want, func(dst, a *float32) { m.expShifted(dst, a, x[0], n) })
		fill(want, x[0])
		check("fill", want, func(dst, _ *float32) { m.fill(dst, x[0], n) })
	})
}

func TestSumsGiveTheBitsOfGo(t *testing.T) {
	eachLoop(t, func(t *testing.T, m *assembly, rng *rand.Rand, n int, wild bool) {
		v := floats(rng, n+1, wild)[1:]
		if got, want := m.sum(first(v), n), sumSlice(v); !sameBits(got, want) {
			t.Fatalf("sum of %d: got %v, want %v", n, got, want)
		}
		var got, want [sumLanes]float32
		for range 2 {
			m.addLanes(&got, first(v), n)
			addPlain(&want, v)
		}
		for i := range want {
			if !sameBits(got[i], want[i]) {
				t.Fatalf("sums of %d: lane %d is %v, want %v", n, i, got[i], want[i])
			}
		}
		if wild {
			for i, x := range v {
				if x != x || x == 0 { // the largest element is ambiguous with NaN or with 0 and -0
					v[i] = 1
				}
			}
		}
		if n == 0 {
			return
		}
		if got, want := m.largest(first(v), n), largest(v); got != want {
			t.Fatalf("largest of %d: got %v, want %v", n, got, want)
		}
	})
}

func TestShift(t *testing.T) {
	defer func(m *assembly) { machine = m }(machine)
	implementations := map[string]*assembly{"Go": nil}
	maps.Copy(implementations, assemblies())
	for name, m := range implementations {
		machine = m
		for seed := range uint64(2000) {
			rng := rand.New(rand.NewPCG(seed, 3))
			in, out, rows, d := 1+rng.IntN(40), 1+rng.IntN(40), 1+rng.IntN(20), rng.IntN(9)-4
			src, dst := floats(rng, in*rows, false), floats(rng, out*rows+20, false)
			for i := range 20 {
				dst[out*rows+i] = canary
			}
			shift(dst[:out*rows], src, out, in, d)
			for i, v := range dst {
				want := canary
				if r, x := i/out, i%out; r < rows {
					want = 0
					if x+d >= 0 && x+d < in {
						want = src[r*in+x+d]
					}
				}
				if v != want {
					t.Fatalf("%s: %d rows of %d shifted by %d to rows of %d: element %d is %v, want %v",
						name, rows, in, d, out, i, v, want)
				}
			}
		}
	}
}

func BenchmarkLoops(b *testing.B) {
	x, y := make([]float32, 1024), make([]float32, 1024)
	for name, m := range assemblies() {
		for what, f := range map[string]binaryLoop{
			"add": m.add, "silu2": m.silu2,
			"exp":     func(dst, a, _ *float32, n int) { m.exp(dst, a, n) },
			"sigmoid": func(dst, a, _ *float32, n int) { m.sigmoid(dst, a, n) },
			"sum":     func(dst, a, _ *float32, n int) { m.sum(a, n) },
		} {
			b.Run(name+"/"+what, func(b *testing.B) {
				for b.Loop() {
					f(&x[0], &y[0], &y[0], len(x))
				}
				b.ReportMetric(float64(b.N)*float64(len(x))/float64(b.Elapsed().Nanoseconds()), "elements/ns")
			})
		}
	}
}

// runLoops runs the instruction on all of dst if there is a loop for these operands, and reports whether there is.
// singleA and singleB say whether a and b are single values.
func runLoops[T Float](l *loops, dst, a, b []T, singleA, singleB bool) bool {
	n := len(dst)
	if n == 0 || len(a) < n && !singleA {
		return false
	}
	if l.one != nil {
		if !singleA {
			l.one(first(dst), first(a), n)
		}
		return !singleA
	}
	if l.two == nil || len(b) < n && !singleB {
		return false
	}
	switch {
	case !singleA && !singleB:
		l.two(first(dst), first(a), first(b), n)
	case singleA && !singleB && l.scalarFirst != nil:
		l.scalarFirst(first(dst), first(b), float32(a[0]), n)
	case singleB && !singleA && l.scalarLast != nil:
		l.scalarLast(first(dst), first(a), float32(b[0]), n)
	default:
		return false
	}
	return true
}
