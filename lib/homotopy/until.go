package homotopy

import (
	"vapo/lib/failure"
	"vapo/lib/portable"
)

// maxEnd bounds the end of a path: sigma is 1e-4 there, a fiftieth of a level of an 8-bit pixel, and the network's
// condition is still of order one.
const maxEnd = 1e4

// Until returns the schedule that ends at t = tEnd instead of t = 1: in Span, and in its training times. Everything
// else stays, above all the network's condition for a t, so a network trained to one end can be sampled to another.
//
// A tEnd below 1 stops early, at data with noise, mu(tEnd)·x̄ + sigma(tEnd)·eps. A tEnd above 1 is for vapo alone,
// where t is the exponent of the likelihood in H2: sigma² = n²/(n²/w² + t) keeps falling. The others reach sigma = 0 at
// t = 1, where the path ends. Beyond t = 1 the flow is only as good as the network, which must have been trained with
// such an end.
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
