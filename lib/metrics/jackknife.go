package metrics

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"

	"vapo/lib/blas"
	"vapo/lib/draw"
)

// JackknifeResult is a Fréchet distance with its sampling error.
type JackknifeResult struct {
	Frechet             // of all vectors
	StdErr    float64   // of Value, in its unit
	Low, High float64   // the 95 % interval Value ± t·StdErr, t Student's of Groups - 1 degrees; Low is at least 0
	Groups    int       // that were left out in turn
	Without   []float64 // the distance without each group
}

// maxGroups bounds the memory of the groups' moments, d² values each.
const maxGroups = 50

// Jackknife returns the Fréchet distance of a from the reference with an interval
// for what another N vectors of the same model would give, by leaving out one
// of g groups of a's vectors at a time (delete-a-group jackknife; Kott 2001, Efron and
// Tibshirani 1993, ch. 11). With θᵢ the distance without group i:
//
//	StdErr = sqrt((g-1)/g · Σ (θᵢ - mean θ)²)
//
//	a: [N, d], row-major, finite; b: the reference, of dimension d, taken as fixed
//	groups: g, from 2 to 50; 10 is usual
//
// A vector's group is its place, modulo g, in one permutation that depends on N
// alone. Parts in order would make groups of a model's batches, or of classes where
// images are sorted; the index modulo g would where classes take turns.
//
// The interval is about chance at this N. It does not hold the distance of infinitely
// many vectors: for that see FrechetInfinity.
//
// Note: a bootstrap was rejected. A resample holds about 0.63·N different vectors, and the
// distance is biased upward as N falls, so its replicates lie above the value whose
// spread they should tell. Groups left out are moments not merged: the vectors are
// added up once.
func Jackknife(lib blas.Library, a []float32, b *Moments, d, groups int) (JackknifeResult, error) {
	if groups < 2 || groups > maxGroups {
		return JackknifeResult{}, fmt.Errorf("jackknife: %d groups, expected 2 to %d", groups, maxGroups)
	}
	n, err := vectors("jackknife", "sample", a, d, 2*groups)
	if err != nil {
		return JackknifeResult{}, err
	}
	if b == nil || b.d != d {
		return JackknifeResult{}, fmt.Errorf("jackknife: the reference is not of dimension %d", d)
	}
	members := make([][]int, groups)
	for p, i := range draw.New(0, "metrics/jackknife", uint64(n)).Perm(n) {
		members[p%groups] = append(members[p%groups], i)
	}
	parts := make([]*Moments, groups)
	for g := range parts {
		if parts[g], err = momentsOfRows(lib, a, d, members[g]); err != nil {
			return JackknifeResult{}, fmt.Errorf("jackknife: %w", err)
		}
	}
	distances := make([]Frechet, groups+1)
	err = distancesAtOnce(groups+1, func(without int) (err error) { // the last one leaves nothing out
		m := NewMoments(d)
		for g, part := range parts {
			if g != without {
				m.merge(part)
			}
		}
		distances[without], err = FrechetDistance(lib, m, b)
		return err
	})
	if err != nil {
		return JackknifeResult{}, fmt.Errorf("jackknife: %w", err)
	}
	r := JackknifeResult{Frechet: distances[groups], Groups: groups}
	for _, f := range distances[:groups] {
		r.Without = append(r.Without, f.Value)
	}
	_, std := meanStd(r.Without)
	r.StdErr = std * math.Sqrt(float64(groups-1)) // std divides by g
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(groups - 1)}.Quantile(0.975)
	r.Low, r.High = max(0, r.Value-t*r.StdErr), r.Value+t*r.StdErr
	if left := n - (n+groups-1)/groups; left <= d {
		r.Warnings = append(r.Warnings, fmt.Sprintf(
			"%d images for %d features without a group: the covariance is singular and the interval no guide", left, d))
	}
	return r, nil
}
