package metrics

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// AUROC is the area under the receiver operating characteristic curve. The score should be larger for inliers than for
// outliers. AUROC is the probability that a random inlier scores higher than a random outlier; ties count half. It
// equals the Mann-Whitney statistic divided by its largest value (Hanley and McNeil 1982). 1 means perfect separation,
// and 0.5 means chance.
//
//	in: [n] scores of inliers, out: [m] scores of outliers, in the same unit, in any order; neither is changed
//
// Empty sets and scores that are not finite are errors. Pairs are counted in integers, so only the final divisions
// round.
func AUROC(in, out []float64) (float64, error) {
	if len(in) == 0 || len(out) == 0 {
		return 0, errors.New("auroc: there must be at least one inlier score and one outlier score")
	}
	for _, s := range []struct {
		name   string
		scores []float64
	}{{"inlier", in}, {"outlier", out}} {
		for i, v := range s.scores {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return 0, fmt.Errorf("auroc: %s score %d is %g", s.name, i, v)
			}
		}
	}
	in, out = slices.Clone(in), slices.Clone(out)
	slices.Sort(in)
	slices.Sort(out)
	var below, upTo int // the numbers of outlier scores < v and <= v, for the current inlier score v
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
