package homotopy

import "math"

// WeightNames lists the weights that Weighted accepts.
func WeightNames() []string { return []string{"auto", "none", "sigma", "velocity"} }

// ForObjective returns the schedule with the loss weights that suit an objective. Weighted calls these weights auto.
//
// The energy objective multiplies Phi by an innovation of size 1/sigma. On linear, cosine and vp, sigma goes to 0, so
// the variance of the innovation is unbounded: without weights, the few samples nearest to t = 1 dominate the gradient
// and training diverges. The weight sigma/w keeps the noise the same at all times. On vapo the innovation per unit of
// ln t is bounded: its factors t·sigma'/sigma and t·mu'/sigma are at most 1/2 and 0.4/w.
func ForObjective(s Schedule, objective string) Schedule {
	if objective == "energy" && !s.BoundedInnovation() {
		return bySigma(s)
	}
	return s
}

// Weighted returns the schedule with the loss weights of the given name. All times share one network. The weight of a
// time decides how closely the network is fitted at that time. The names are:
//
//   - auto is the result of ForObjective.
//   - none is 1 at all times.
//   - sigma is sigma/w: it lowers the weight of times near the data, where the energy form is noisiest.
//   - velocity is 1/(mu'² + sigma'²/w²) per unit of the integration variable, scaled so that its mean over the training
//     times of Draw is 1. Errors then count relative to the velocity. On linear and cosine the velocity has the same
//     size at all times, so the weight is 1. On vp the weight ranges from 0.05 in the middle of the path to 21 at its
//     start. On vapo it ranges from 4e-4 to 29, so the ends of the path, where little happens, dominate the loss.
//
// Note: weights that are learned with the network (Kendall et al., arXiv 1705.07115) were rejected: a schedule is a
// pure function, and learned values belong to the checkpoint.
func Weighted(s Schedule, objective, weight string) (Schedule, error) {
	if err := Check(objective, s.Name()); err != nil {
		return nil, err
	}
	switch weight {
	case "auto":
		return ForObjective(s, objective), nil
	case "none":
		return weighted{s, func(float64) float64 { return 1 }}, nil
	case "sigma":
		return bySigma(s), nil
	case "velocity":
		return byVelocity(s), nil
	}
	return nil, unknown("weight", weight, WeightNames())
}

type weighted struct {
	Schedule
	weight func(t float64) float64
}

func (w weighted) Weight(t float64) float64 { return w.weight(t) }

func bySigma(s Schedule) Schedule {
	w := priorStd(s)
	return weighted{s, func(t float64) float64 { return s.At(t).Sigma / w }}
}

func byVelocity(s Schedule) Schedule {
	w := priorStd(s)
	inverse := func(t float64) float64 {
		p, rate := s.At(t), s.Rate(t)
		return 1 / (rate * rate * (float64(p.DMu*p.DMu) + float64(p.DSigma*p.DSigma/(w*w))))
	}
	const points = 1000 // points of the midpoint rule
	var mean float64
	for k := range points {
		mean += inverse(s.Draw((float64(k)+0.5)/points)) / points
	}
	return weighted{s, func(t float64) float64 { return inverse(t) / mean }}
}

// priorStd recovers w from sigma² = w²(1-mu²), which holds on every schedule at t = 0.
func priorStd(s Schedule) float64 {
	p := s.At(0)
	return p.Sigma / math.Sqrt(1-float64(p.Mu*p.Mu))
}
