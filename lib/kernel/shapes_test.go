package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func random(rng *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = rng.NormFloat64()
	}
	return v
}

func single(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

func expect(t *testing.T, what string, got []float64, got32 []float32, want []float64, scale float64) {
	t.Helper()
	for i, w := range want {
		if math.Abs(got[i]-w) > 1e-11*scale {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], w)
		}
		if math.Abs(float64(got32[i])-w) > 3e-5*scale {
			t.Fatalf("%s in float32: element %d is %v, want %v", what, i, got32[i], w)
		}
	}
}

// The three convolutions agree with their definition, on shapes that exercise every way of dividing a batch into tiles.
func TestConvolutionsOnRandomShapes(t *testing.T) {
	for seed := range uint64(240) {
		rng := rand.New(rand.NewPCG(seed, 5))
		s := ConvShape{
			N: 1 + rng.IntN(9), Cin: 1 + rng.IntN(4), H: 1 + rng.IntN(9), W: 1 + rng.IntN(9), Cout: 1 + rng.IntN(4),
			KH: 1 + rng.IntN(4), KW: 1 + rng.IntN(4), StrideH: 1, StrideW: 1, PadH: rng.IntN(3), PadW: rng.IntN(3),
		}
		switch rng.IntN(7) {
		case 0:
			s.StrideH, s.StrideW = 1+rng.IntN(3), 1+rng.IntN(3)
		case 1: // many small images, several per tile
			s.N, s.H, s.W = 30+rng.IntN(60), 1+rng.IntN(5), 1+rng.IntN(5)
		case 2: // the convolutions of networks
			s.KH, s.KW, s.PadH, s.PadW, s.N = 3, 3, 1, 1, 1+rng.IntN(40)
		case 3: // more channels than a block or a panel has
			s.Cin, s.Cout, s.H, s.W = 1+rng.IntN(70), 1+rng.IntN(40), 1+rng.IntN(6), 1+rng.IntN(6)
		case 4: // images of several tiles
			s.N, s.H, s.W = 1+rng.IntN(2), 20+rng.IntN(25), 20+rng.IntN(25)
		}
		if s.H+2*s.PadH < s.KH || s.W+2*s.PadW < s.KW {
			continue
		}
		oh, ow := s.OH(), s.OW()
		x, w, g := random(rng, s.N*s.Cin*s.H*s.W), random(rng, s.Cout*s.Cin*s.KH*s.KW), random(rng, s.N*s.Cout*oh*ow)
		y, dx, dw := make([]float64, len(g)), make([]float64, len(x)), make([]float64, len(w))
		for n := range s.N {
			for o := range s.Cout {
				for i := range oh {
					for j := range ow {
						at := ((n*s.Cout+o)*oh+i)*ow + j
						for c := range s.Cin {
							for p := range s.KH {
								for q := range s.KW {
									r, u := i*s.StrideH+p-s.PadH, j*s.StrideW+q-s.PadW
									if r < 0 || u < 0 || r >= s.H || u >= s.W {
										continue
									}
									xi, wi := ((n*s.Cin+c)*s.H+r)*s.W+u, ((o*s.Cin+c)*s.KH+p)*s.KW+q
									y[at] += x[xi] * w[wi]
									dx[xi] += g[at] * w[wi]
									dw[wi] += g[at] * x[xi]
								}
							}
						}
					}
				}
			}
		}
		got, got32 := make([]float64, len(y)), make([]float32, len(y))
		// Neither the previous content of the memory nor a previous run may matter.
		for i := range got {
			got[i], got32[i] = math.NaN(), float32(math.NaN())
		}
		k, k32 := NewConv[float64](s), NewConv[float32](s)
		for range 2 {
			k.Run(got, x, w)
			k32.Run(got32, single(x), single(w))
		}
		expect(t, "conv", got, got32, y, 10)
		got, got32 = make([]float64, len(x)), make([]float32, len(x))
		for i := range got {
			got[i], got32[i] = math.NaN(), float32(math.NaN())
		}
		ki, ki32 := NewConvInputGrad[float64](s), NewConvInputGrad[float32](s)
		for range 2 {
			ki.Run(got, g, w)
			ki32.Run(got32, single(g), single(w))
		}
		expect(t, "input gradient", got, got32, dx, 10)
		got, got32 = make([]float64, len(w)), make([]float32, len(w))
		kf, kf32 := NewConvFilterGrad[float64](s), NewConvFilterGrad[float32](s)
		for range 2 {
			kf.Run(got, x, g)
			kf32.Run(got32, single(x), single(g))
		}
		expect(t, "filter gradient", got, got32, dw, 100)
	}
}

func TestSumOnRandomShapes(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 7))
		outer, axis, inner := 1+rng.IntN(5), 1+rng.IntN(50), 1+rng.IntN(50)
		switch seed % 5 {
		case 0:
			outer, axis, inner = 1, 8000+rng.IntN(20000), 1
		case 1:
			outer, axis, inner = 1+rng.IntN(2), 5000+rng.IntN(3000), 1+rng.IntN(4)
		case 2:
			outer, axis, inner = 1, 2+rng.IntN(20), 500+rng.IntN(1500)
		}
		x := random(rng, outer*axis*inner)
		want := make([]float64, outer*inner)
		for o := range outer {
			for a := range axis {
				for i := range inner {
					want[o*inner+i] += x[(o*axis+a)*inner+i]
				}
			}
		}
		got, got32 := make([]float64, len(want)), make([]float32, len(want))
		k, k32 := NewSum[float64](outer, axis, inner), NewSum[float32](outer, axis, inner)
		for range 2 {
			k.Run(got, x)
			k32.Run(got32, single(x))
		}
		expect(t, "sum", got, got32, want, math.Sqrt(float64(axis))+10)
	}
}

func TestMoves(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 8))
	for range 60 {
		dims := make([]int, 1+rng.IntN(4))
		size := 1
		for i := range dims {
			dims[i] = 1 + rng.IntN(5)
			size *= dims[i]
		}
		perm := rng.Perm(len(dims))
		src := random(rng, size)
		there, back := make([]float64, size), make([]float64, size)
		Transpose(there, src, dims, perm)
		moved, inverse := make([]int, len(dims)), make([]int, len(dims))
		for i, p := range perm {
			moved[i], inverse[p] = dims[p], i
		}
		Transpose(back, there, moved, inverse)
		if !slices.Equal(back, src) {
			t.Fatalf("transposing a tensor of shape %v by %v and back changes it", dims, perm)
		}
		// Compute the position of one element by hand.
		index, at, to := make([]int, len(dims)), 0, 0
		for i := range dims {
			index[i] = rng.IntN(dims[i])
			at = at*dims[i] + index[i]
		}
		for i, p := range perm {
			to = to*moved[i] + index[p]
		}
		if there[to] != src[at] {
			t.Fatalf("transposing a tensor of shape %v by %v: element %v is in the wrong place", dims, perm, index)
		}
	}
	got := make([]float64, 2)
	if RowMax(got, []float64{1, 3, 2, -5, -7, -6}, 3); !slices.Equal(got, []float64{3, -5}) {
		t.Errorf("row maxima %v, want [3 -5]", got)
	}
}
