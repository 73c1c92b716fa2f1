package metrics

import (
	"fmt"
	"sync/atomic"

	"vapo/lib/linalg"
)

// ManifoldResult measures how two sets cover each other. All values are fractions between 0 and 1, except Density,
// which may exceed 1.
type ManifoldResult struct {
	Precision       float64 // share of fake vectors inside at least one real ball: fidelity
	Recall          float64 // share of real vectors inside at least one fake ball: diversity
	Density         float64 // mean number of real balls around a fake vector, over k: robust to real outliers
	Coverage        float64 // share of real balls that contain a fake vector: robust to fake outliers
	NReal, NFake, K int
	Warnings        []string
}

// maxManifoldK bounds the memory of the lists of neighbours.
const maxManifoldK = 100

// Manifold returns the improved precision and recall (Kynkäänniemi et al. 2019, arXiv 1904.06991) and the density and
// coverage (Naeem et al. 2020, arXiv 2002.09797) of fake with respect to real. Each vector is the centre of a ball. The
// radius of the ball is the distance to the k-th nearest other vector of the same set. A vector at a distance equal to
// the radius is inside, as in the paper of Kynkäänniemi et al.
//
//	real: [n, d], fake: [m, d], row-major, finite
//	k: at most 100 and below n and m; usually 3, or 5 for density and coverage
//
// All four values depend on n, m and k. If real and fake come from one distribution and n = m, coverage tends to 1 -
// 2⁻ᵏ. It is 1 if fake is a copy of real.
//
// Squared distances are computed in float64 by matrix products, after the common mean has been subtracted from the
// vectors. If rounding could decide whether a vector is inside a ball, the distance is computed again from the
// differences of the components, so that copies and ties are exact. The sets are processed in tiles, so memory stays
// small. The cost is about (n+m)²·d operations.
func Manifold(real, fake []float32, d, k int) (ManifoldResult, error) {
	if k < 1 || k > maxManifoldK {
		return ManifoldResult{}, fmt.Errorf("manifold: k is %d, expected 1 to %d", k, maxManifoldK)
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
