package metrics

import (
	"fmt"
	"math"

	"vapo/lib/random"
)

// JackknifeResult is a Fréchet distance with its sampling error.
type JackknifeResult struct {
	Frechet         // the distance of all vectors
	StdErr  float64 // standard error of Value, in the same unit
	// Low and High are the ends of the 95 % interval Value ± t·StdErr, where t is the quantile of Student's distribution
	// with Groups - 1 degrees of freedom. Low is at least 0.
	Low, High float64
	Groups    int       // the number of groups
	Without   []float64 // [Groups] the distance of the vectors outside each group
}

// maxGroups bounds the memory for the moments, which have d² values for each group.
const maxGroups = 50

// studentT holds the 0.975 quantiles of Student's distribution with 1, 2, ... degrees of freedom, correctly rounded.
var studentT = [maxGroups - 1]float64{
	12.706204736174705, 4.302652729749464, 3.1824463052837095, 2.7764451051977943, 2.5705818356363155,
	2.44691185114497, 2.3646242515927853, 2.3060041352041667, 2.2621571627982053, 2.228138851986275,
	2.2009851600916397, 2.178812829667229, 2.1603686564627926, 2.144786687917804, 2.1314495455597755,
	2.1199052992212546, 2.109815577833317, 2.1009220402410387, 2.0930240544083096, 2.085963447265865,
	2.0796138447276804, 2.0738730679040263, 2.0686576104190486, 2.063898561628026, 2.0595385527532977,
	2.055529438642873, 2.0518305164802855, 2.048407141795245, 2.0452296421327043, 2.042272456301238,
	2.0395134463964086, 2.036933343460102, 2.034515297449339, 2.032244509317719, 2.0301079282503434,
	2.028094000980451, 2.0261924630291097, 2.02439416391197, 2.0226909200367613, 2.0210753903062733,
	2.0195409704413763, 2.018081702818445, 2.0166921992278244, 2.015367574443764, 2.0141033888808466,
	2.012895598919429, 2.011740513729766, 2.0106347576242323, 2.0095752371292397,
}

// Jackknife returns the Fréchet distance of a from the reference, with an interval for the distance of another N
// vectors of the same model. It divides the vectors of a into g groups and leaves out one group at a time
// (delete-a-group jackknife: Kott 2001; Efron and Tibshirani 1993, ch. 11). If θᵢ is the distance without group i, then
//
//	StdErr = sqrt((g-1)/g · Σ (θᵢ - mean θ)²)
//
//	a: [N, d], row-major, finite; b: the reference, of dimension d, assumed exact
//	groups: g, from 2 to 50; 10 is usual
//
// A permutation, which depends only on N, assigns the vectors to groups: the group of a vector is its position in the
// permutation modulo g. If the groups were consecutive parts of a, a group could be a batch of the model, or a class of
// sorted images. If the group of a vector were its index modulo g, a group could be a class of images whose classes
// alternate.
//
// The interval describes the random error at this N. It need not contain the distance for infinitely many vectors,
// which FrechetInfinity estimates.
//
// Note: a bootstrap was rejected. A resample contains only about 0.63·N different vectors, and the bias of the distance
// is larger for fewer vectors. The distances of the resamples would therefore lie above the distance whose error they
// should estimate. Another advantage of the jackknife is that it sums the vectors only once: it leaves out a group by
// not merging its moments.
func Jackknife(a []float32, b *Moments, d, groups int) (JackknifeResult, error) {
	if groups < 2 || groups > maxGroups {
		return JackknifeResult{}, fmt.Errorf("jackknife: %d groups, expected 2 to %d", groups, maxGroups)
	}
	n, err := vectors("jackknife", "sample", a, d, 2*groups)
	if err != nil {
		return JackknifeResult{}, err
	}
	if b == nil || b.d != d {
		return JackknifeResult{}, fmt.Errorf("jackknife: the reference does not have dimension %d", d)
	}
	members := make([][]int, groups)
	for p, i := range random.New(0, "metrics/jackknife", uint64(n)).Perm(n) {
		members[p%groups] = append(members[p%groups], i)
	}
	parts := make([]*Moments, groups)
	for g := range parts {
		if parts[g], err = momentsOfRows(a, d, members[g]); err != nil {
			return JackknifeResult{}, fmt.Errorf("jackknife: %w", err)
		}
	}
	distances := make([]Frechet, groups+1)
	err = distancesAtOnce(groups+1, func(without int) (err error) { // without = groups leaves no group out
		m := NewMoments(d)
		for g, part := range parts {
			if g != without {
				m.merge(part)
			}
		}
		distances[without], err = FrechetDistance(m, b)
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
	r.StdErr = std * math.Sqrt(float64(groups-1)) // meanStd divides by g
	half := float64(studentT[groups-2] * r.StdErr)
	r.Low, r.High = max(0, r.Value-half), r.Value+half
	if left := n - (n+groups-1)/groups; left <= d {
		r.Warnings = append(r.Warnings, fmt.Sprintf(
			"%d images for %d features without a group: the covariance is singular and the interval no guide", left, d))
	}
	return r, nil
}
