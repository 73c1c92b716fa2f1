package metrics

import (
	"fmt"
	"math"
	"slices"

	"vapo/lib/random"
)

// InfinityOptions are the options of FrechetInfinity. The zero value of a field means its default.
type InfinityOptions struct {
	Sizes    int    // the number of sample sizes; default 15
	Smallest int    // the smallest size; default the larger of N/10 and 5d, but at most N/2
	Seed     uint64 // of the random subsets
}

// InfinityResult is an extrapolated Fréchet distance with what is needed to judge it.
type InfinityResult struct {
	Value float64 // at 1/N = 0, in squared units of the features
	Slope float64 // of the distance over 1/N
	// Residual is the root mean square deviation of the distances from the line, with the divisor Sizes - 2. The fit is
	// good if Residual is small compared with AtN - Value.
	Residual float64
	AtN      float64 // the distance of all N vectors, which does not depend on Seed
	// Sizes and Distances are the points of the fit, from the smallest size to N.
	Sizes     []int
	Distances []float64
	Warnings  []string
}

// FrechetInfinity estimates the Fréchet distance of infinitely many vectors (FID∞, Chong and Forsyth 2020, arXiv
// 1911.07023). The distance of N vectors is biased upward by about Slope/N. The slope depends on the model, so the
// order of two models may be wrong at small N. The distance is computed at several sizes, each on its own random subset
// of a's vectors, and a straight line in 1/N is fitted by least squares. Value is the line's value at 1/N = 0.
//
//	a: [N, d], row-major, finite; b: the reference, of dimension d
//
// The sizes are evenly spaced in N up to all of a, as in the paper. Most of them are therefore at small 1/N, close to
// the result, where the noise is least. The first is the paper's N/10, but at least 5d, because terms in 1/N² bend the
// line, and at most N/2. Below 2d there is a warning. A subset is a function of (seed, index of the size): the first
// vectors of a permutation.
//
// Only the bias due to a is removed. The bias due to the reference's own N remains.
//
// Note: on Gaussians with N = 500 and d = 48, the distance of all N vectors was 1.59 too large (of 3.48). Sizes evenly
// spaced in N were too small by 0.54 from N/10, by 0.17 from 2d and by 0.04 from 5d, each ± 0.20 per draw; sizes evenly
// spaced in 1/N by 0.82, 0.22 and 0.09.
func FrechetInfinity(a []float32, b *Moments, d int, o InfinityOptions) (InfinityResult, error) {
	n, err := vectors("fréchet infinity", "sample", a, d, 2)
	if err != nil {
		return InfinityResult{}, err
	}
	if b == nil || b.d != d {
		return InfinityResult{}, fmt.Errorf("fréchet infinity: the reference is not of dimension %d", d)
	}
	if o.Sizes == 0 {
		o.Sizes = 15
	}
	if o.Smallest == 0 {
		o.Smallest = min(max(n/10, 5*d), n/2)
	}
	if o.Sizes < 3 || o.Smallest < 2 || n-o.Smallest < o.Sizes-1 {
		return InfinityResult{}, fmt.Errorf("fréchet infinity: %d sizes from %d to %d vectors, "+
			"expected at least 3 different ones from 2", o.Sizes, o.Smallest, n)
	}
	var r InfinityResult
	for i := range o.Sizes {
		r.Sizes = append(r.Sizes, o.Smallest+(n-o.Smallest)*i/(o.Sizes-1))
	}
	results := make([]Frechet, o.Sizes)
	err = distancesAtOnce(o.Sizes, func(i int) error {
		index := random.New(o.Seed, "metrics/frechet-infinity", uint64(i)).Perm(n)[:r.Sizes[i]]
		if r.Sizes[i] == n {
			slices.Sort(index) // the same bits as the distance of a itself
		}
		m, err := momentsOfRows(a, d, index)
		if err == nil {
			results[i], err = FrechetDistance(m, b)
		}
		if err != nil {
			return fmt.Errorf("%d vectors: %w", r.Sizes[i], err)
		}
		return nil
	})
	if err != nil {
		return InfinityResult{}, fmt.Errorf("fréchet infinity: %w", err)
	}
	inverse := make([]float64, o.Sizes)
	for i, f := range results {
		r.Distances = append(r.Distances, f.Value)
		inverse[i] = 1 / float64(r.Sizes[i])
	}
	r.AtN = r.Distances[o.Sizes-1]
	r.Value, r.Slope = line(inverse, r.Distances)
	var squares float64
	for i, x := range inverse {
		e := r.Distances[i] - r.Value - float64(r.Slope*x)
		squares += float64(e * e)
	}
	r.Residual = math.Sqrt(squares / float64(o.Sizes-2))

	if o.Smallest < 2*d {
		r.Warnings = append(r.Warnings, fmt.Sprintf(
			"the smallest size, %d, is below twice the %d features: the distance is no line in 1/N there", o.Smallest, d))
	}
	if r.Value < 0 {
		r.Warnings = append(r.Warnings, "the extrapolated distance is negative: it is zero within its error")
	}
	r.Warnings = append(r.Warnings, results[o.Sizes-1].Warnings...)
	return r, nil
}

// line fits a straight line to the points (x, y) by least squares.
func line(x, y []float64) (intercept, slope float64) {
	mx, _ := meanStd(x)
	my, _ := meanStd(y)
	var xy, xx float64
	for i, v := range x {
		xy += float64((v - mx) * (y[i] - my))
		xx += float64((v - mx) * (v - mx))
	}
	slope = xy / xx
	return my - float64(slope*mx), slope
}
