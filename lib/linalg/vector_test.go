package linalg

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func same(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool {
		return math.Float64bits(x) == math.Float64bits(y) || x != x && y != y
	})
}

// Every vector width gives the same bits as the loops in Go, at every length. Nothing is written beyond the end of the
// result.
func TestVectorsSameBits(t *testing.T) {
	eachWidth(t, func(t *testing.T) {
		for seed := range uint64(6) {
			for n := range 101 {
				rng := rand.New(rand.NewPCG(seed, uint64(n)))
				value := func() float64 { return rng.Float64() - 0.5 }
				if seed%3 == 2 { // arbitrary bits, including infinities, NaN and subnormal numbers
					value = func() float64 { return math.Float64frombits(rng.Uint64()) }
				}
				draw := func(n int) []float64 {
					v := make([]float64, n)
					for i := range v {
						v[i] = value()
					}
					return v
				}
				const after = 9
				x, y, alpha := draw(n+after), draw(n+after), value()

				want, got := slices.Clone(y), slices.Clone(y)
				axpyLoop(want[:n], alpha, x[:n])
				axpy(got[:n], alpha, x[:n])
				if !same(got, want) {
					t.Fatalf("axpy of %d: %v, want %v", n, got, want)
				}

				var sums [dotLanes]float64
				dotLoop(&sums, x[:n], y[:n])
				lanes := [dotLanes]float64{}
				from := dotVectors(&lanes, x[:n], y[:n])
				dotLoop(&lanes, x[from:n], y[from:n])
				if !same(lanes[:], sums[:]) {
					t.Fatalf("dot of %d: %v, want %v", n, lanes, sums)
				}

				stride := n + rng.IntN(5)
				a, weights := draw(symvRows*stride+n), [symvRows]float64(draw(symvRows))
				var left, right rowSums
				want, got = slices.Clone(y), slices.Clone(y)
				symvLoop(&left, want[:n], &weights, a, stride, x[:n], 0)
				begin := symvVectors(&right, got[:n], &weights, a, stride, x[:n])
				symvLoop(&right, got[:n], &weights, a, stride, x[:n], begin)
				if !same(got, want) {
					t.Fatalf("symv of %d: %v, want %v", n, got, want)
				}
				for q := range left {
					if !same(left[q][:], right[q][:]) {
						t.Fatalf("symv of %d, row %d: %v, want %v", n, q, right[q], left[q])
					}
				}
			}
		}
	})
}

// A short operand panics before assembly reads it.
func TestVectorsCheckLengths(t *testing.T) {
	x, short := make([]float64, 64), make([]float64, 63)
	weights := [symvRows]float64{}
	for name, f := range map[string]func(){
		"axpy":   func() { axpy(x, 1, short[:63:63]) },
		"dot":    func() { dot(x, short[:63:63]) },
		"symv y": func() { symv(short[:15:15], &weights, x, 16, x[:16]) },
		"symv a": func() { symv(x, &weights, short[:63:63], 16, x[:16]) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s with a short operand did not panic", name)
				}
			}()
			f()
		}()
	}
}
