package metrics

import (
	"fmt"
	"math"
	"slices"

	"vapo/lib/random"
)

// InfinityOptions are the choices of FrechetInfinity; zero means the usual.
type InfinityOptions struct {
	Sizes    int    // how many numbers of vectors; 0 means 15
	Smallest int    // of them; 0 means the larger of N/10 and 5d, N/2 at most
	Seed     uint64 // of the draws
}

// InfinityResult is an extrapolated Fréchet distance with what is needed to judge it.
type InfinityResult struct {
	Value float64 // at 1/N = 0, in squared units of the features
	Slope float64 // of the distance over 1/N
	// Residual is the root mean square of the distances from the line, the divisor
	// Sizes - 2: a fit is good where it is small beside AtN - Value.
	Residual float64
	AtN      float64 // the distance of all N vectors, which needs no draw
	// Sizes and Distances are what the line goes through, the smallest first.
	Sizes     []int
	Distances []float64
	Warnings  []string
}

// FrechetInfinity estimates the Fréchet distance of infinitely many vectors
// (FID∞, Chong and Forsyth 2020, arXiv 1911.07023). The distance of N vectors is
// biased upward by about Slope/N, with a slope that depends on the model, so two
// models may swap places at small N. It is computed at some sizes, each on its own
// random choice of a's vectors, and a straight line in 1/N is fitted by least
// squares; Value is where it meets 1/N = 0.
//
//	a: [N, d], row-major, finite; b: the reference, of dimension d
//
// The sizes are evenly spaced in N up to all of a, as in the paper. That puts most of
// them where 1/N is small: next to the answer, where the noise is least. The first is the
// paper's N/10, but not below 5d, as terms in 1/N² bend the line, nor above N/2; below
// 2d there is a warning. Choices are a function of (seed, size number): the first
// vectors of a permutation.
//
// Note: measured on Gaussians, N = 500 and d = 48, the distance of all N was 1.59 too
// large (of 3.48). Sizes evenly in N from N/10 gave 0.54 too little, from 2d 0.17, from 5d
// 0.04, each ± 0.20 a draw; evenly in 1/N 0.82, 0.22 and 0.09.
//
// Value is about a alone: the reference's own N still biases it.
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
		return InfinityResult{}, fmt.Errorf(
			"fréchet infinity: %d sizes from %d to %d vectors, expected at least 3 different ones from 2", o.Sizes, o.Smallest, n)
	}
	var r InfinityResult
	for i := range o.Sizes {
		r.Sizes = append(r.Sizes, o.Smallest+(n-o.Smallest)*i/(o.Sizes-1))
	}
	results := make([]Frechet, o.Sizes)
	err = distancesAtOnce(o.Sizes, func(i int) error {
		index := random.New(o.Seed, "metrics/frechet-infinity", uint64(i)).Perm(n)[:r.Sizes[i]]
		if r.Sizes[i] == n {
			slices.Sort(index) // no draw: the same bits as the distance of a itself
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

// line returns the straight line of least squares through the points (x, y).
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
