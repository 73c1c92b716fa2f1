package metrics

import (
	"fmt"
	"math"
	"slices"

	"vapo/lib/linalg"
	"vapo/lib/random"
)

// SlicedW2 is the sliced 2-Wasserstein distance between two sets of points with equal weights (Bonneel et al. 2015), in
// the unit of the points:
//
//	sqrt(mean over directions θ of W2(θ·a, θ·b)²)
//
//	a: [na, d], b: [nb, d], row-major, finite, at least 1 point each
//	projections: the number of directions; the error of the mean falls as 1/sqrt(projections)
//
// The directions are uniformly distributed on the sphere. A direction depends only on the seed and its index, so calls
// with the same seed use the same directions. W2 of two projected sets is computed exactly, as the L2 distance between
// their quantile functions.
func SlicedW2(a, b []float32, d, projections int, seed uint64) (float64, error) {
	if _, err := vectors("sliced w2", "first", a, d, 1); err != nil {
		return 0, err
	}
	if _, err := vectors("sliced w2", "second", b, d, 1); err != nil {
		return 0, err
	}
	if projections < 1 {
		return 0, fmt.Errorf("sliced w2: %d directions, at least 1 is needed", projections)
	}
	squares := make([]float64, projections)
	linalg.Parallel(projections, func(k int) {
		dir := make([]float64, d)
		random.New(seed, "metrics/sliced-w2", uint64(k)).Normal64(dir)
		var norm float64
		for _, v := range dir {
			norm += float64(v * v)
		}
		norm = math.Sqrt(norm)
		for j := range dir {
			dir[j] /= norm
		}
		pa, pb := project(a, dir), project(b, dir)
		slices.Sort(pa)
		slices.Sort(pb)
		squares[k] = w2Squared(pa, pb)
	})
	var sum float64
	for _, s := range squares {
		sum += s
	}
	return math.Sqrt(sum / float64(projections)), nil
}

// project returns the inner products of the rows of x, [n, d], with dir, [d].
func project(x []float32, dir []float64) []float64 {
	d := len(dir)
	out := make([]float64, len(x)/d)
	for i := range out {
		var s float64
		for j, v := range x[i*d : (i+1)*d] {
			s += float64(float64(v) * dir[j])
		}
		out[i] = s
	}
	return out
}

// w2Squared returns the integral of the squared difference between the quantile functions of two sorted samples.
// Probabilities are counted in multiples of 1/(na·nb), which is exact.
func w2Squared(a, b []float64) float64 {
	na, nb := int64(len(a)), int64(len(b))
	var sum float64
	var i, j, at int64
	for i < na && j < nb {
		end := min((i+1)*nb, (j+1)*na)
		diff := a[i] - b[j]
		sum += float64(diff * diff * float64(end-at))
		at = end
		if at == (i+1)*nb {
			i++
		}
		if at == (j+1)*na {
			j++
		}
	}
	return sum / (float64(na) * float64(nb))
}
