package homotopy

import (
	"vapo/lib/failure"
	"vapo/lib/portable"
)

// maxEnd is the latest time at which a path may end. At t = maxEnd, sigma is 1e-4, far below the step 2/255 between the
// levels of an 8-bit pixel, and the network's condition is still of order one.
const maxEnd = 1e4

// Until returns the schedule that ends at t = tEnd instead of t = 1. This changes Span and the training times. It does
// not change the network's condition at a given t, so a network trained up to one end can be sampled up to another.
//
// A tEnd below 1 stops early, at noisy data mu(tEnd)·x̄ + sigma(tEnd)·eps. A tEnd above 1 is possible on vapo only:
// there t is the exponent of the likelihood in H2, and sigma² = n²/(n²/w² + t) keeps falling. The other paths end at t
// = 1, where sigma = 0. Beyond t = 1 the flow is good only if the network was trained with a tEnd above 1.
func Until(s Schedule, tEnd float64) (Schedule, error) {
	from, to := s.Span()
	first, _ := s.Time(from)
	if !(tEnd > first && tEnd <= maxEnd) {
		return nil, failure.New(failure.Usage, "",
			"schedule %s cannot end at t = %v: expected a time above the first, %.3g, and at most 1 (vapo: %g)",
			s.Name(), tEnd, first, maxEnd)
	}
	switch {
	case tEnd == 1:
		return s, nil
	case tEnd > 1 && s.Name() != "vapo":
		return nil, failure.New(failure.Usage, "",
			"schedule %s cannot end at t = %v: its sigma is 0 at t = 1 and nothing is defined beyond; only vapo continues",
			s.Name(), tEnd)
	case tEnd < 1:
		to = min(to, s.Variable(tEnd))
	default:
		to = portable.Log(tEnd)
	}
	return until{s, from, to}, nil
}

type until struct {
	Schedule
	from, to float64
}

func (u until) Span() (from, to float64) { return u.from, u.to }

// Draw is uniform in s, as on every schedule.
func (u until) Draw(v float64) float64 {
	t, _ := u.Time(u.from + float64((u.to-u.from)*v))
	return t
}
