package metrics

import (
	"fmt"
	"sync/atomic"
)

// ManifoldResult says how two sets cover each other. Every value is a share of
// vectors, from 0 to 1, but for Density, which may exceed 1.
type ManifoldResult struct {
	Precision       float64 // of fake inside some ball of real: fidelity
	Recall          float64 // of real inside some ball of fake: diversity
	Density         float64 // how many balls of real hold a fake vector, over k: precision that counts
	Coverage        float64 // of the balls of real that hold a fake vector: recall that outliers of fake cannot feign
	NReal, NFake, K int
	Warnings        []string
}

// maxManifoldK bounds the memory of the lists of neighbours.
const maxManifoldK = 100

// Manifold returns the improved precision and recall (Kynkäänniemi et al. 2019,
// arXiv 1904.06991) and density and coverage (Naeem et al. 2020, arXiv 2002.09797) of
// fake against real. Each vector is the centre of a ball whose radius is the distance
// to its k-th nearest neighbour in its own set, itself left out; a vector at exactly the
// radius is inside, as in the first paper.
//
//	real: [n, d], fake: [m, d], row-major, finite; k: usually 3 (5 for density and coverage),
//	at most 100 and below n and m
//
// All four depend on n, m and k: between equal distributions coverage tends to
// 1 - 2⁻ᵏ for n = m, and 1 is reached only by copies.
//
// Squared distances come from products of vectors less the common mean, in float64. Where
// rounding could decide, next to a radius, they are computed again from the differences,
// so copies and ties count as such. Tiles keep memory small; the cost is
// about (n+m)²·d operations.
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
	balls := make([]int64, a.tiles()) // that hold a fake vector, pairs counted
	parallel(a.tiles(), func(t int) {
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
