package metrics

import (
	"cmp"
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

// InfinityResult is an extrapolated Fréchet distance, with data to judge its quality.
type InfinityResult struct {
	Value float64 `json:"value"` // the distance at 1/N = 0, in squared units of the features
	Slope float64 `json:"slope"` // slope of the line: the change of the distance per change of 1/N
	// Residual is the root mean square deviation of the distances from the line. The divisor is the number of sizes minus
	// 2. The fit is good if Residual is small compared with AtN - Value.
	Residual float64 `json:"residual"`
	AtN      float64 `json:"-"` // the distance with all N vectors, which does not depend on Seed
	// Sizes and Distances are the points of the fit, from the smallest size to N.
	Sizes     []int     `json:"sizes"`
	Distances []float64 `json:"-"`
	Warnings  []string  `json:"-"`
}

// FrechetInfinity estimates the Fréchet distance for infinitely many vectors (FID∞, Chong and Forsyth 2020, arXiv
// 1911.07023). The distance for N vectors is biased upward by about Slope/N. The slope depends on the model, so two
// models may be ranked wrongly at small N. FrechetInfinity computes the distance for several sample sizes, each on its
// own random subset of a, and fits a straight line in 1/N by least squares. Value is the value of the line at 1/N = 0.
//
//	a: [N, d], row-major, finite; b: the reference, of dimension d
//
// The sizes are evenly spaced in N, as in the paper, and the last one is all of a. Most sizes are therefore at small
// 1/N, where the noise is least. The smallest size is N/10, as in the paper, but at least 5d, because terms in 1/N²
// bend the line, and at most N/2. A smallest size below 2d gives a warning. A subset consists of the first vectors of a
// permutation, which depends only on the seed and the index of the size.
//
// The extrapolation removes the bias due to the size of a. The bias due to the size of the reference remains.
//
// Note: the bias was measured on Gaussians with N = 500, d = 48 and a true distance of 3.48. The distance with all N
// vectors was 1.59 too large. Extrapolation with sizes evenly spaced in N gave values that were too small: by 0.54 if
// the smallest size was N/10, by 0.17 for 2d, and by 0.04 for 5d, each ± 0.20 per draw. With sizes evenly spaced in
// 1/N, the values were too small by 0.82, 0.22 and 0.09.
func FrechetInfinity(a []float32, b *Moments, d int, o InfinityOptions) (InfinityResult, error) {
	n, err := vectors("fréchet infinity", "sample", a, d, 2)
	if err != nil {
		return InfinityResult{}, err
	}
	if b == nil || b.d != d {
		return InfinityResult{}, fmt.Errorf("fréchet infinity: the reference does not have dimension %d", d)
	}
	o.Sizes, o.Smallest = cmp.Or(o.Sizes, 15), cmp.Or(o.Smallest, min(max(n/10, 5*d), n/2))
	if o.Sizes < 3 || o.Smallest < 2 || n-o.Smallest < o.Sizes-1 {
		return InfinityResult{}, fmt.Errorf("fréchet infinity: %d sizes from %d to %d vectors, "+
			"expected at least 3 different sizes of 2 or more", o.Sizes, o.Smallest, n)
	}
	var r InfinityResult
	for i := range o.Sizes {
		r.Sizes = append(r.Sizes, o.Smallest+(n-o.Smallest)*i/(o.Sizes-1))
	}
	results := make([]Frechet, o.Sizes)
	err = distancesAtOnce(o.Sizes, func(i int) error {
		index := random.New(o.Seed, "metrics/frechet-infinity", uint64(i)).Perm(n)[:r.Sizes[i]]
		if r.Sizes[i] == n {
			slices.Sort(index) // gives the same bits as the distance of a itself
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
