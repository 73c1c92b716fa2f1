package metrics

import (
	"fmt"
	"sync/atomic"

	"vapo/lib/linalg"
)

// ManifoldResult measures how two sets cover each other. All values are fractions between 0 and 1, except Density,
// which may exceed 1.
type ManifoldResult struct {
	Precision       float64 // of fake vectors inside a ball of real: fidelity
	Recall          float64 // of real vectors inside a ball of fake: diversity
	Density         float64 // balls of real around a fake vector, on average and over k: robust to outliers of real
	Coverage        float64 // of balls of real that contain a fake vector: robust to outliers of fake
	NReal, NFake, K int
	Warnings        []string
}

// maxManifoldK bounds the memory of the lists of neighbours.
const maxManifoldK = 100

// Manifold returns the improved precision and recall (Kynkäänniemi et al. 2019, arXiv 1904.06991) and the density and
// coverage (Naeem et al. 2020, arXiv 2002.09797) of fake with respect to real. Each vector is the centre of a ball. Its
// radius is the distance to the k-th nearest other vector of its own set. A vector at exactly the radius is inside, as
// in the first paper.
//
//	real: [n, d], fake: [m, d], row-major, finite
//	k: at most 100 and below n and m; usually 3, or 5 for density and coverage
//
// All four values depend on n, m and k. Between equal distributions with n = m, coverage tends to 1 - 2⁻ᵏ; only copies
// reach 1.
//
// Squared distances are computed in float64 from products of the vectors minus the common mean. If rounding could
// decide whether a vector is inside a ball, the distance is computed again from the differences, so copies and ties are
// exact. Memory stays small, since the sets are processed in tiles. The cost is about (n+m)²·d operations.
func Manifold(real, fake []float32, d, k int) (ManifoldResult, error) {
	if k < 1 || k > maxManifoldK {
		return ManifoldResult{}, fmt.Errorf("manifold: neighbour %d, expected 1 to %d", k, maxManifoldK)
	}
	r := ManifoldResult{K: k}
	var err error
	if r.NReal, err = vectors("manifold", "real", real, d, k+1); err != nil {
		return ManifoldResult{}, err
	}
	if r.NFake, err = vectors("manifold", "fake", fake, d, k+1); err != nil {
		return ManifoldResult{}, err
	}
	if r.NReal != r.NFake {
		r.Warnings = append(r.Warnings, fmt.Sprintf(
			"%d real against %d fake vectors: compare only at these numbers, equal ones are usual", r.NReal, r.NFake))
	}
	centre, other := meanRow(real, d), meanRow(fake, d)
	for j, v := range other {
		centre[j] = float64(centre[j]/2) + float64(v/2)
	}
	a, b := newCloud(real, d, centre), newCloud(fake, d, centre)
	ra, rb := a.radii(k), b.radii(k)

	covered := make([]bool, r.NReal)
	recalled := make([]bool, r.NReal)
	precise := make([]atomic.Bool, r.NFake)
	balls := make([]int64, a.tiles()) // pairs of a ball and a fake vector inside it
	linalg.Parallel(a.tiles(), func(t int) {
		rows := a.rows(t, nil)
		var work []float64
		for u := range b.tiles() {
			cols := b.rows(u, work)
			work = cols.centred
			squares := rows.squares(cols)
			for ti := range rows.n {
				i := rows.lo + ti
				for tj, s := range squares[ti*cols.n : (ti+1)*cols.n] {
					j := cols.lo + tj
					if a.within(i, b, j, s, ra[i]) {
						balls[t]++
						covered[i] = true
						if !precise[j].Load() {
							precise[j].Store(true)
						}
					}
					recalled[i] = recalled[i] || a.within(i, b, j, s, rb[j])
				}
			}
		}
	})
	var count int64
	for _, v := range balls {
		count += v
	}
	r.Density = float64(count) / float64(k) / float64(r.NFake)
	r.Coverage, r.Recall = share(covered), share(recalled)
	inside := make([]bool, r.NFake)
	for j := range inside {
		inside[j] = precise[j].Load()
	}
	r.Precision = share(inside)
	return r, nil
}

func share(list []bool) float64 {
	var n int
	for _, v := range list {
		if v {
			n++
		}
	}
	return float64(n) / float64(len(list))
}
