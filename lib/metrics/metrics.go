// Package metrics measures how far a set of samples is from a set of data.
//
// Results have the same bits on any number of processors: the division of work depends only on the shape of the
// problem, and sums are taken in a fixed order. The random choices, namely the directions of the sliced distance, the
// subsets for KID and FID-infinity, and the subsets of large sets, depend only on a seed. Arithmetic is in float64,
// except in Nearest, whose sums of products of pixels are exact in float32.
//
// A score is meaningless without N, the reference split and the feature network. A result states whichever
// of the three the function knows, and any warnings.
package metrics

import (
	"fmt"
	"math"
)

// RelativeRMS is the root mean square of got - want, divided by the root mean square of want:
//
//	sqrt(Σ (got - want)² / Σ want²)
//
// got and want have equal lengths; the result has no unit. It is an error if all of want is zero or a value is not
// finite.
func RelativeRMS(got, want []float32) (float64, error) {
	if len(got) != len(want) {
		return 0, fmt.Errorf("relative rms: %d values compared with %d", len(got), len(want))
	}
	var num, den float64
	for i, w := range want {
		e := float64(got[i]) - float64(w)
		num += float64(e * e)
		den += float64(float64(w) * float64(w))
	}
	r := math.Sqrt(num / den)
	if math.IsNaN(r) || math.IsInf(r, 0) {
		return 0, fmt.Errorf("relative rms: error %g over norm %g of %d values", math.Sqrt(num), math.Sqrt(den), len(want))
	}
	return r, nil
}
