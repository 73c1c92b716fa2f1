package training

import (
	"fmt"
	"slices"

	"vapo/lib/failure"
)

// Guard determines the gradient norm above which a step is skipped: Factor times the median norm of the last 100
// applied steps. A single bad batch, or the start of a divergence, then costs one step instead of the run. The exported
// fields are the whole state. A resumed run continues identically if they are stored as JSON with the checkpoint.
//
// If at least ten consecutive steps are skipped and the last of them is a spike, the scale of the gradient has changed.
// The guard then discards its norms and learns the new scale. Otherwise it would skip all further steps.
//
// Note: the mean was rejected in favour of the median, because a few large norms raise the mean. Only applied steps
// count, so that a few spikes do not raise the limit for later spikes.
type Guard struct {
	Factor    float64   `json:"factor"`              // 0 means no limit
	Norms     []float64 `json:"norms,omitempty"`     // of the last applied steps, oldest first
	Spikes    int64     `json:"spikes,omitempty"`    // steps skipped because of their norm
	NonFinite int64     `json:"nonfinite,omitempty"` // steps skipped because the loss or the norm was not finite
	Row       int       `json:"row,omitempty"`       // steps skipped since the last applied one
}

const (
	guardNorms  = 100 // number of norms in the median
	guardStart  = 20  // number of norms that a limit needs
	guardSpikes = 10  // consecutive skipped steps, the last one a spike, that discard the norms
	guardRow    = 100 // consecutive skipped steps that end a run
)

// DivergedError reports a run that skips every step.
type DivergedError struct {
	Steps int     // consecutive skipped steps
	Last  Metrics // metrics of the last skipped step
	Limit float64 // limit of the gradient norm at the last step; 0 means no limit
}

func (e *DivergedError) Error() string {
	limit := "no limit"
	if e.Limit > 0 {
		limit = fmt.Sprintf("limit %.4g", e.Limit)
	}
	return fmt.Sprintf("%d consecutive steps were skipped: the last one had loss %v and gradient norm %v (%s)",
		e.Steps, e.Last.Loss, e.Last.GradNorm, limit)
}

// FailureClass implements failure.Carrier.
func (e *DivergedError) FailureClass() failure.Class { return failure.Numeric }

// FailureHint implements failure.Carrier.
func (e *DivergedError) FailureHint() string {
	if e.Last.Spike {
		return "raise --spike-factor or lower --learning-rate"
	}
	return "lower --learning-rate"
}

// NewGuard returns a guard without history. factor is 0 (off) or above 1; with 1, half of all steps would be skipped.
func NewGuard(factor float64) (*Guard, error) {
	g := &Guard{Factor: factor}
	return g, g.Check()
}

// Check validates the state, which may come from a file.
func (g *Guard) Check() error {
	if g.Factor != 0 && !(g.Factor > 1 && g.Factor <= maxGuardFactor) {
		return fmt.Errorf("spike factor is %v, expected 0 (off) or a number above 1 and at most %v",
			g.Factor, float64(maxGuardFactor))
	}
	if len(g.Norms) > guardNorms || g.Spikes < 0 || g.NonFinite < 0 || g.Row < 0 {
		return fmt.Errorf("the spike guard has %d norms, %d spikes, %d non-finite steps and %d consecutive skips: "+
			"expected at most %d norms and no negative counts", len(g.Norms), g.Spikes, g.NonFinite, g.Row, guardNorms)
	}
	for _, v := range g.Norms {
		if !(v >= 0) {
			return fmt.Errorf("the spike guard has a gradient norm of %v, expected 0 or more", v)
		}
	}
	return nil
}

// maxGuardFactor keeps the limit in the range of float32.
const maxGuardFactor = 1e6

// Limit returns the norm above which the next step should be skipped, for Trainer.Limit. 0 means no limit.
func (g *Guard) Limit() float64 {
	if g.Factor == 0 || len(g.Norms) < guardStart {
		return 0
	}
	var room [guardNorms]float64
	v := room[:copy(room[:], g.Norms)]
	slices.Sort(v)
	n := len(v)
	return g.Factor * (v[(n-1)/2] + v[n/2]) / 2
}

// Observe records a step. After 100 consecutive skipped steps it returns a *DivergedError.
func (g *Guard) Observe(m Metrics) error {
	if m.Applied {
		g.Row = 0
		if len(g.Norms) >= guardNorms { // shift in place, because steps must not allocate
			g.Norms = g.Norms[:copy(g.Norms, g.Norms[len(g.Norms)-guardNorms+1:])]
		}
		g.Norms = append(g.Norms, m.GradNorm)
		return nil
	}
	if m.Spike {
		g.Spikes++
		if g.Row+1 >= guardSpikes {
			g.Norms = g.Norms[:0]
		}
	} else {
		g.NonFinite++
	}
	if g.Row++; g.Row >= guardRow {
		return &DivergedError{Steps: g.Row, Last: m, Limit: g.Limit()}
	}
	return nil
}
