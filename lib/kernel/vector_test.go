package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The vector loops must give the bits of the scalar ones, tails included, so that a result does not depend on how the
// program was built. (Without vector instructions this compares the scalar loops with themselves.)
func TestVectorLoopsGiveTheSameBits(t *testing.T) {
	t.Logf("vectorised: %v", Vectorised)
	rng := rand.New(rand.NewPCG(3, 4))
	special := []float32{0, 1, -1, 88.7, 88.8, -87.3, -87.4, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 1e-40}
	for _, n := range []int{1, 7, 8, 9, 64, 1000, 1024, 5000} {
		a, b := make([]float32, n), make([]float32, n)
		for i := range a {
			a[i], b[i] = float32(10*rng.NormFloat64()), float32(rng.Float64())
			if i%17 == 3 {
				a[i] = special[rng.IntN(len(special))]
			}
		}
		for _, c := range []struct {
			code Code
			p, q float64
			want func(dst []float32)
		}{
			{Affine, 1.5, 0, func(d []float32) { affine(d, a, 1.5, 0) }},
			{Affine, 1.5, -0.3, func(d []float32) { affine(d, a, 1.5, -0.3) }},
			{Add, 0, 0, func(d []float32) { add(d, a, b) }},
			{Sub, 0, 0, func(d []float32) { sub(d, a, b) }},
			{Mul, 0, 0, func(d []float32) { mul(d, a, b) }},
			{Div, 0, 0, func(d []float32) { div(d, a, b) }},
			{Sigmoid, 0, 0, func(d []float32) { sigmoid(d, a) }},
			{Exp, 0, 0, func(d []float32) { rare(Exp, d, a, b, b) }},
			{Step, 0, 0, func(d []float32) { rare(Step, d, a, b, b) }},
			{Sqrt, 0, 0, func(d []float32) { rare(Sqrt, d, a, b, b) }},
			{SiLU, 0, 0, func(d []float32) { f := siluPolynomials(0); siluDeriv(d, a, b, &f) }},
			{SiLU, 1, 0, func(d []float32) { f := siluPolynomials(1); siluDeriv(d, a, b, &f) }},
			{SiLU, 2, 0, func(d []float32) { f := siluPolynomials(2); siluDeriv(d, a, b, &f) }},
			{SiLU, 3, 0, func(d []float32) { f := siluPolynomials(3); siluDeriv(d, a, b, &f) }},
		} {
			got, want := make([]float32, n), make([]float32, n)
			args := [3]int{0, 1, 1}
			prog := Program{Dims: []int{n}, Instrs: []Instr{{Code: c.code, Dst: 2, Args: args, P: c.p, Q: c.q}}}
			for slot := range 3 {
				prog.Operands = append(prog.Operands, Operand{Slot: slot, Strides: []int{1}})
			}
			NewFused[float32](prog).Run([][]float32{a, b, got})
			c.want(want)
			for i := range want {
				if math.Float32bits(got[i]) != math.Float32bits(want[i]) && (got[i] == got[i] || want[i] == want[i]) {
					t.Fatalf("%v(%g,%g) of %v, %v (element %d of %d): got %v, want %v", c.code, c.p, c.q, a[i], b[i], i, n, got[i], want[i])
				}
			}
		}
		var lanes [sumLanes]float32
		for i, v := range b {
			lanes[i%sumLanes] += v
		}
		want := foldLanes(&lanes)
		if got := sumSlice(b); got != want {
			t.Fatalf("sum of %d: got %v, want %v", n, got, want)
		}
	}
}

// Sums and differences with a single value, fills and shifted rows have the bits of the plain loops at every length.
func TestLoopsOfEveryLength(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for n := 1; n < 150; n++ {
		a, x := single(random(rng, n)), float32(rng.NormFloat64())
		for _, c := range []struct {
			code Code
			f    func(v, x float32) float32
		}{
			{Add, func(v, x float32) float32 { return v + x }},
			{Sub, func(v, x float32) float32 { return v - x }},
			{Mul, func(v, x float32) float32 { return v * x }},
			{Div, func(v, x float32) float32 { return v / x }},
		} {
			l := newLoops[float32](&Instr{Code: c.code})
			for _, first := range []bool{false, true} {
				got := make([]float32, n+1)
				got[n] = 77
				v, s := a, []float32{x}
				if first {
					v, s = s, v
				}
				if !runLoops(&l, got[:n], v, s, first, !first) && !withScalar(c.code, got[:n], v, s, first, !first) {
					t.Fatalf("%v with a single value has no loop", c.code)
				}
				for i, v := range a {
					want := c.f(v, x)
					if first {
						want = c.f(x, v)
					}
					if got[i] != want || got[n] != 77 {
						t.Fatalf("%v, single value first: %v, element %d of %d: got %v, want %v", c.code, first, i, n, got[i], want)
					}
				}
			}
		}
		filled := make([]float32, n+1)
		fill(filled[:n], x)
		for i, v := range filled {
			if i < n && v != x || i == n && v != 0 {
				t.Fatalf("fill of %d: element %d is %v", n, i, v)
			}
		}
		in, out, d := 1+rng.IntN(40), 1+rng.IntN(40), rng.IntN(9)-4
		src, dst := single(random(rng, in*n)), make([]float32, out*n+1)
		shift(dst[:out*n], src, out, in, d)
		for r := range n {
			for j := range out {
				want := float32(0)
				if j+d >= 0 && j+d < in {
					want = src[r*in+j+d]
				}
				if dst[r*out+j] != want || dst[out*n] != 0 {
					t.Fatalf("%d rows of %d shifted by %d to rows of %d: element %d, %d is %v, want %v", n, in, d, out, r, j, dst[r*out+j], want)
				}
			}
		}
	}
}
