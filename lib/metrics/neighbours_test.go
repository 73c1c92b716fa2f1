package metrics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Nearest agrees with a search in integers, also for sets larger than a tile and for rows that are too long for exact
// sums in float32.
func TestNearestIsExact(t *testing.T) {
	for _, tc := range []struct{ n, m, d, k, levels int }{
		{1, 1, 1, 1, 256}, {5, 700, 3, 4, 4}, {130, 520, 17, 3, 256},
		{3, 40, 1024, 2, 256}, {3, 40, 1025, 2, 256}, {4, 30, 3072, 5, 2},
	} {
		r := rand.New(rand.NewPCG(uint64(tc.n), uint64(tc.d)))
		bytes := func(n int) []uint8 {
			x := make([]uint8, n*tc.d)
			for i := range x { // extremes are the worst case for rounding
				x[i] = uint8(r.IntN(tc.levels) * 255 / (tc.levels - 1))
			}
			return x
		}
		queries, refs := bytes(tc.n), bytes(tc.m)
		want := make([][]Neighbour, tc.n)
		for i := range want {
			type hit struct{ index, square int }
			var hits []hit
			for j := range tc.m {
				var s int
				for p := range tc.d {
					e := int(queries[i*tc.d+p]) - int(refs[j*tc.d+p])
					s += e * e
				}
				hits = append(hits, hit{j, s})
			}
			slices.SortStableFunc(hits, func(a, b hit) int { return a.square - b.square })
			for _, h := range hits[:tc.k] {
				want[i] = append(want[i], Neighbour{h.index, math.Sqrt(float64(h.square))})
			}
		}
		got, err := Nearest(queries, refs, tc.d, tc.k)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if !slices.Equal(got[i], want[i]) {
				t.Fatalf("%+v: neighbours of %d are %v, want %v", tc, i, got[i], want[i])
			}
		}
	}
}

func TestNearestRefuses(t *testing.T) {
	x := make([]uint8, 8)
	for name, run := range map[string]func() ([][]Neighbour, error){
		"ragged":    func() ([][]Neighbour, error) { return Nearest(x, x, 3, 1) },
		"too many":  func() ([][]Neighbour, error) { return Nearest(x, x, 4, 3) },
		"none":      func() ([][]Neighbour, error) { return Nearest(x, x, 4, 0) },
		"dimension": func() ([][]Neighbour, error) { return Nearest(x, x, 0, 1) },
	} {
		if got, err := run(); err == nil {
			t.Errorf("%s: result %v, want an error", name, got)
		}
	}
}
