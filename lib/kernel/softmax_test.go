package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The float32 softmax has the same bits as its definition by exp32 and sumSlice, even if its loops are in assembly. The
// float32 and the float64 softmax are close to the formula in float64.
func TestSoftmax(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 11))
		rows, n := 1+rng.IntN(5), 1+rng.IntN(70)
		if seed%10 == 0 { // several pieces
			rows, n = 40+rng.IntN(40), 1000+rng.IntN(100)
		}
		x := random(rng, rows*n)
		for i := range x {
			x[i] *= 1 + float64(seed)
		}
		src := single(x)
		got, got64 := make([]float32, len(x)), make([]float64, len(x))
		k, k64 := NewSoftmax[float32](rows, n), NewSoftmax[float64](rows, n)
		for range 2 {
			k.Run(got, src)
			k64.Run(got64, x)
		}
		for r := range rows {
			m := float32(math.Inf(-1))
			for _, v := range src[r*n : (r+1)*n] {
				m = max(m, v)
			}
			e := make([]float32, n)
			var wide, wide64, lanes64 float64
			for i, v := range src[r*n : (r+1)*n] {
				e[i] = exp32(v - m)
				wide += math.Exp(float64(v - m)) // the difference is rounded to float32
				wide64 += math.Exp(x[r*n+i])
				lanes64 += got64[r*n+i]
			}
			inv := 1 / sumSlice(e)
			for i, v := range src[r*n : (r+1)*n] {
				at := r*n + i
				if want := e[i] * inv; math.Float32bits(got[at]) != math.Float32bits(want) {
					t.Fatalf("row of %d: element %d is %v, but exp32 and sumSlice give %v", n, i, got[at], want)
				}
				if want := math.Exp(float64(v-m)) / wide; math.Abs(float64(got[at])-want) > 2e-6*want+1e-37 {
					t.Fatalf("row of %d: element %d is %v, want %v", n, i, got[at], want)
				}
				if want := math.Exp(x[at]) / wide64; math.Abs(got64[at]-want) > 1e-12*want+1e-300 {
					t.Fatalf("row of %d in float64: element %d is %v, want %v", n, i, got64[at], want)
				}
			}
			if math.Abs(lanes64-1) > 1e-13 {
				t.Fatalf("row of %d in float64: the sum is %v, want 1", n, lanes64)
			}
		}
	}
}

func TestSoftmaxOfExtremes(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range []struct{ src, want []float32 }{
		{[]float32{3e38, 3e38, -3e38}, []float32{.5, .5, 0}},
		{[]float32{-3e38, -3e38}, []float32{.5, .5}},
		{[]float32{-inf, 0, -inf, 0, 0, 0, -inf, -inf, -inf}, []float32{0, .25, 0, .25, .25, .25, 0, 0, 0}},
		{[]float32{7}, []float32{1}},
		{[]float32{1, nan, 2, 3, 4, 5, 6, 7, 8}, []float32{nan, nan, nan, nan, nan, nan, nan, nan, nan}},
		{[]float32{nan, 1}, []float32{nan, nan}},
		{[]float32{1, inf}, []float32{nan, nan}},
		{[]float32{-inf, -inf}, []float32{nan, nan}},
	} {
		got := make([]float32, len(c.src))
		NewSoftmax[float32](1, len(c.src)).Run(got, c.src)
		for i, w := range c.want {
			if got[i] != w && (got[i] == got[i] || w == w) {
				t.Errorf("softmax of %v is %v, want %v", c.src, got, c.want)
				break
			}
		}
	}
}

// The rows are those of attention at 16x16 pixels with one head and a batch of 8.
func BenchmarkSoftmax(b *testing.B) {
	src := single(random(rand.New(rand.NewPCG(1, 2)), 2048*256))
	dst := make([]float32, len(src))
	k := NewSoftmax[float32](2048, 256)
	b.SetBytes(int64(4 * len(src)))
	for b.Loop() {
		k.Run(dst, src)
	}
}
