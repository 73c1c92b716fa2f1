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
				prog.Operands = append(prog.Operands, Operand{Slot: slot, Strides: []int{1}, Output: slot == 2})
			}
			NewPointwise[float32](prog).Run([][]float32{a, b, got})
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
