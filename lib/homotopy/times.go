package homotopy

import (
	"math"

	"vapo/lib/failure"
	"vapo/lib/portable"
)

// TimeNames lists the distributions of training times that Times accepts.
func TimeNames() []string { return []string{"uniform", "log-uniform", "logit-normal"} }

// TimeDistribution maps u in [0, 1) to a training time of a schedule. It is the quantile function of a distribution: if
// u is uniform, the times follow the distribution. If u is stratified, so are the times.
type TimeDistribution func(s Schedule, u float64) float64

// Bounds on the parameters of the logit-normal distribution. Beyond maxLocation or maxScale, most times are next to an
// end of the path; below minScale, nearly all times are equal.
const (
	maxLocation = 10
	minScale    = 1e-3
	maxScale    = 10
)

// Times returns the distribution with the given name. [t0, t1] are the schedule's training times. r in [0, 1) is the
// argument of Schedule.Draw; it is linear in the training variable (t on linear and cosine, ln t on vapo, 1-sqrt(1-t)
// on vp). The distributions are:
//
//   - uniform: r uniform, p(r) = 1.
//   - log-uniform: ln t uniform, p(t) = 1/(t·ln(t1/t0)). On vapo it equals uniform; on the other schedules half of all
//     draws are below t = 0.005, next to the prior.
//   - logit-normal: ln(r/(1-r)) normal with mean location and standard deviation scale,
//     p(r) = 1/(scale·sqrt(2 pi)·r(1-r)) · exp(-(ln(r/(1-r)) - location)²/(2 scale²)) (Esser et al., arXiv 2403.03206,
//     section 3.1; their time runs from data to noise, so their location has the opposite sign). It draws fewer times
//     near the ends, where there is little to learn. A location above 0 moves the times towards the data. Esser et al.
//     found location 0 and scale 1 best.
//
// location (-10 to 10) and scale (0.001 to 10) apply to logit-normal only.
func Times(name string, location, scale float64) (TimeDistribution, error) {
	last := math.Nextafter(1, 0)
	switch name {
	case "uniform":
		return Schedule.Draw, nil
	case "log-uniform":
		return func(s Schedule, u float64) float64 {
			t0, t1 := s.Draw(0), s.Draw(last)
			return min(t0*portable.Exp(u*portable.Log(t1/t0)), t1)
		}, nil
	case "logit-normal":
		if !(math.Abs(location) <= maxLocation) || !(scale >= minScale && scale <= maxScale) {
			return nil, failure.New(failure.Usage, "", "logit-normal times with location %v and scale %v: "+
				"expected a location of -%d to %d and a scale of %g to %d",
				location, scale, maxLocation, maxLocation, minScale, maxScale)
		}
		return func(s Schedule, u float64) float64 {
			z := math.Sqrt2 * portable.Erfinv(2*u-1) // -Inf at u = 0
			return s.Draw(min(1/(1+portable.Exp(-location-float64(scale*z))), last))
		}, nil
	}
	return nil, unknown("time distribution", name, TimeNames())
}
