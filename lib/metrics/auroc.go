package metrics

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// AUROC is the area under the receiver operating characteristic of a score that
// should be larger in than out: the probability that a random in-score exceeds a
// random out-score, ties counting half (the Mann-Whitney statistic over its
// largest value; Hanley and McNeil 1982). 1 separates the two, 0.5 is chance.
//
//	in: [n], out: [m], in any one unit, in any order; neither is changed
//
// Scores must be finite and neither set empty. Pairs are counted in integers, so
// the result is exact but for one division.
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
	var below, upTo int // how many of out are below, or at most, the in-score at hand
	var halves uint64   // wins counted twice and ties once
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
