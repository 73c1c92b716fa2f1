package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func randomWindow(rng *rand.Rand) WindowShape {
	for {
		s := WindowShape{
			Planes: 1 + rng.IntN(5), H: 1 + rng.IntN(12), W: 1 + rng.IntN(30), KH: 1 + rng.IntN(4), KW: 1 + rng.IntN(4),
			StrideH: 1 + rng.IntN(3), StrideW: 1 + rng.IntN(3),
		}
		s.PadH, s.PadW = rng.IntN(s.KH), rng.IntN(s.KW)
		switch rng.IntN(4) {
		case 0: // the windows of networks
			s.KH, s.KW, s.StrideH, s.StrideW, s.PadH, s.PadW = 3, 3, 1, 1, 1, 1
		case 1: // several pieces
			s.Planes = 200 + rng.IntN(200)
		}
		if s.H+2*s.PadH >= s.KH && s.W+2*s.PadW >= s.KW {
			return s
		}
	}
}

// each calls f with the index of every window and the indices of its elements, row by row.
func (s WindowShape) each(f func(window int, elements []int)) {
	i := 0
	for p := range s.Planes {
		for y := range s.OH() {
			for x := range s.OW() {
				var elements []int
				for k := range s.KH {
					for l := range s.KW {
						if r, c := y*s.StrideH+k-s.PadH, x*s.StrideW+l-s.PadW; r >= 0 && c >= 0 && r < s.H && c < s.W {
							elements = append(elements, (p*s.H+r)*s.W+c)
						}
					}
				}
				f(i, elements)
				i++
			}
		}
	}
}

// The four window kernels agree with their definitions, and sums to the bit: a window's sum is the sum of the sums of
// its columns, and addInOrder defines the adjoint. The operand whose maxima are taken has only six different values and
// NaN, so ties are frequent.
func TestWindowsOnRandomShapes(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 12))
		s := randomWindow(rng)
		large, small := s.Planes*s.H*s.W, s.Planes*s.OH()*s.OW()
		a, b, g := random(rng, large), random(rng, large), random(rng, small)
		for i := range a {
			a[i] = float64(rng.IntN(6))
			if rng.IntN(40) == 0 {
				a[i] = math.NaN()
			}
		}
		a32, b32 := single(a), single(b)
		sum32, added := make([]float32, small), make([]float64, large)
		top, chosen, scattered := make([]float64, small), make([]float64, small), make([]float64, large)
		s.each(func(w int, elements []int) {
			best := elements[0]
			for _, i := range elements {
				added[i] += g[w]
				if a[i] > a[best] || a[i] != a[i] && a[best] == a[best] {
					best = i
				}
			}
			for c := range s.W {
				column, any := float32(0), false
				for _, i := range elements {
					if i%s.W == c {
						column, any = column+b32[i], true
					}
				}
				if any {
					sum32[w] += column
				}
			}
			top[w], chosen[w] = a[best], b[best]
			scattered[best] += g[w]
		})
		for range 2 {
			check := func(what string, n int, want []float64, tolerance float64, run func([]float64, []float32)) {
				t.Helper()
				got, got32 := make([]float64, n), make([]float32, n)
				for i := range got {
					got[i], got32[i] = math.NaN(), float32(math.NaN())
				}
				run(got, got32)
				for i, w := range want {
					if !(math.Abs(got[i]-w) <= tolerance*1e-8 || w != w && got[i] != got[i]) ||
						!(math.Abs(float64(got32[i])-float64(float32(w))) <= tolerance || w != w && got32[i] != got32[i]) {
						t.Fatalf("%s, %+v: element %d is %v, in float32 %v, want %v", what, s, i, got[i], got32[i], w)
					}
				}
			}
			sum, added32 := make([]float32, small), make([]float32, large)
			NewWindowSum[float32](s).Run(sum, b32)
			NewWindowSumGrad[float32](s).Run(added32, single(g))
			for i, w := range sum32 {
				if math.Float32bits(sum[i]) != math.Float32bits(w) {
					t.Fatalf("sum, %+v: element %d is %v, want %v", s, i, sum[i], w)
				}
			}
			for i, w := range addInOrder(s, single(g)) {
				if got := added32[i]; math.Float32bits(got) != math.Float32bits(w) {
					t.Fatalf("add, %+v: element %d is %v, want %v", s, i, got, w)
				}
			}
			check("add", large, added, 1e-5, func(d []float64, d32 []float32) {
				NewWindowSumGrad[float64](s).Run(d, g)
				NewWindowSumGrad[float32](s).Run(d32, single(g))
			})
			check("maximum", small, top, 0, func(d []float64, d32 []float32) {
				NewSelectMax[float64](s).Run(d, a, a)
				NewSelectMax[float32](s).Run(d32, a32, a32)
			})
			check("select", small, chosen, 0, func(d []float64, d32 []float32) {
				NewSelectMax[float64](s).Run(d, a, b)
				NewSelectMax[float32](s).Run(d32, a32, b32)
			})
			check("scatter", large, scattered, 1e-5, func(d []float64, d32 []float32) {
				NewScatterMax[float64](s).Run(d, a, g)
				NewScatterMax[float32](s).Run(d32, a32, single(g))
			})
		}
	}
}

// addInOrder computes WindowSumGrad one element at a time, in the order of additions that defines its bits: from the
// top row of windows to the bottom, and within a row of windows from right to left.
func addInOrder(s WindowShape, g []float32) []float32 {
	out, oh, ow := make([]float32, s.Planes*s.H*s.W), s.OH(), s.OW()
	for p := range s.Planes {
		for row := range s.H {
			for col := range s.W {
				v := &out[(p*s.H+row)*s.W+col]
				for y := range oh {
					for x := ow - 1; x >= 0; x-- {
						r, c := row+s.PadH-y*s.StrideH, col+s.PadW-x*s.StrideW
						if r >= 0 && r < s.KH && c >= 0 && c < s.KW {
							*v += g[(p*oh+y)*ow+x]
						}
					}
				}
			}
		}
	}
	return out
}

// <sum(x), g> = <x, add(g)> and <select(x), g> = <x, scatter(g)> up to rounding in float64.
func TestWindowAdjoints(t *testing.T) {
	dot := func(a, b []float64) (v float64) {
		for i := range a {
			v += a[i] * b[i]
		}
		return v
	}
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 13))
		s := randomWindow(rng)
		large, small := s.Planes*s.H*s.W, s.Planes*s.OH()*s.OW()
		a, x, g := random(rng, large), random(rng, large), random(rng, small)
		sum, added := make([]float64, small), make([]float64, large)
		NewWindowSum[float64](s).Run(sum, x)
		NewWindowSumGrad[float64](s).Run(added, g)
		chosen, scattered := make([]float64, small), make([]float64, large)
		NewSelectMax[float64](s).Run(chosen, a, x)
		NewScatterMax[float64](s).Run(scattered, a, g)
		for _, c := range [][2]float64{{dot(sum, g), dot(x, added)}, {dot(chosen, g), dot(x, scattered)}} {
			if math.Abs(c[0]-c[1]) > 1e-12*float64(large*s.KH*s.KW) {
				t.Errorf("%+v: <A x, g> is %v, but <x, A'g> is %v; want the same", s, c[0], c[1])
			}
		}
	}
}

// The windows are those of Inception's first max pooling, for one image.
func BenchmarkMaxPool(b *testing.B) {
	s := WindowShape{Planes: 64, H: 147, W: 147, KH: 3, KW: 3, StrideH: 2, StrideW: 2}
	src := single(random(rand.New(rand.NewPCG(1, 2)), s.Planes*s.H*s.W))
	dst := make([]float32, s.Planes*s.OH()*s.OW())
	k := NewSelectMax[float32](s)
	other := append([]float32(nil), src...)
	b.Run("values", func(b *testing.B) {
		for b.Loop() {
			k.Run(dst, src, src)
		}
	})
	b.Run("select", func(b *testing.B) {
		for b.Loop() {
			k.Run(dst, src, other)
		}
	})
}

// The windows are those of the average pooling in Inception's first block, for one image.
func BenchmarkWindowSum(b *testing.B) {
	s := WindowShape{Planes: 288, H: 35, W: 35, KH: 3, KW: 3, StrideH: 1, StrideW: 1, PadH: 1, PadW: 1}
	src := single(random(rand.New(rand.NewPCG(1, 2)), s.Planes*s.H*s.W))
	dst := make([]float32, len(src))
	k := NewWindowSum[float32](s)
	for b.Loop() {
		k.Run(dst, src)
	}
}
