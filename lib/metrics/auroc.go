package metrics

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// AUROC is the area under the receiver operating characteristic of a score that should be larger for inliers than for
// outliers: the probability that a random inlier scores higher than a random outlier, with ties counting half. It
// equals the Mann-Whitney statistic divided by its largest value (Hanley and McNeil 1982). 1 means perfect separation,
// 0.5 chance.
//
//	in: [n] scores of inliers, out: [m] scores of outliers, in the same unit, in any order; neither is changed
//
// Empty sets and scores that are not finite are errors. Pairs are counted in integers, so the only rounding is that of
// the final division.
func AUROC(in, out []float64) (float64, error) {
	if len(in) == 0 || len(out) == 0 {
		return 0, errors.New("auroc: no scores on one side, both are needed")
	}
	for _, s := range []struct {
		name   string
		scores []float64
	}{{"in", in}, {"out", out}} {
		for i, v := range s.scores {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return 0, fmt.Errorf("auroc: %s-score %d is %g", s.name, i, v)
			}
		}
	}
	in, out = slices.Clone(in), slices.Clone(out)
	slices.Sort(in)
	slices.Sort(out)
	var below, upTo int // the number of out-scores below the current in-score, and of those at most equal to it
	var halves uint64   // wins count 2, ties 1
	for _, v := range in {
		for below < len(out) && out[below] < v {
			below++
		}
		for upTo < len(out) && out[upTo] <= v {
			upTo++
		}
		halves += uint64(below + upTo)
	}
	return float64(halves) / 2 / float64(len(in)) / float64(len(out)), nil
}
