package training

import (
	"fmt"
	"slices"
)

// Guard sets the limit of the gradient's norm from the steps before: Factor times the median norm of the last 100
// steps that were applied. A single bad batch, or the start of a divergence, then costs a step and not the run. Its
// exported fields are its whole state: kept as JSON beside a checkpoint, they let a resumed run go on as it would have.
//
// Ten spikes in a row are none: the gradient has another size now. The guard then forgets what it knew and, from what
// comes, learns anew what is usual, where it would else skip every step to come.
//
// Note: the median, because a mean would follow the very spikes that it is to catch; only applied steps count, so a few
// spikes do not raise the limit for the next ones.
type Guard struct {
	Factor    float64   `json:"factor"`              // 0: no limit
	Norms     []float64 `json:"norms,omitempty"`     // of the last steps applied, oldest first
	Spikes    int64     `json:"spikes,omitempty"`    // steps skipped for their norm
	NonFinite int64     `json:"nonfinite,omitempty"` // steps skipped because something was not finite
	Row       int       `json:"row,omitempty"`       // steps skipped since the last one that was applied
}

const (
	guardWindow = 100 // steps that the median is of
	guardStart  = 20  // steps before there is a limit: fewer norms do not say what is usual
	guardSpikes = 10  // spikes in a row that are a new level
	guardRow    = 100 // steps skipped in a row that end a run
)

// DivergedError says that a run skips every step.
type DivergedError struct {
	Steps int     // skipped in a row
	Last  Metrics // of the last of them
	Limit float64 // of the gradient's norm then; 0: none
}

func (e *DivergedError) Error() string {
	limit := "no limit"
	if e.Limit > 0 {
		limit = fmt.Sprintf("a limit of %.4g", e.Limit)
	}
	return fmt.Sprintf("%d steps in a row were skipped: the last one had the loss %v and the gradient norm %v, with %s", e.Steps, e.Last.Loss, e.Last.GradNorm, limit)
}

// NewGuard returns a guard that knows no step yet. factor is 0 (off) or above 1: at 1 half of all steps would be skipped.
func NewGuard(factor float64) (*Guard, error) {
	g := &Guard{Factor: factor}
	return g, g.Check()
}

// Check returns an error where the state, from a file perhaps, is none that a guard can have.
func (g *Guard) Check() error {
	if g.Factor != 0 && !(g.Factor > 1 && g.Factor <= maxGuardFactor) {
		return fmt.Errorf("spike factor is %v, expected 0 (off) or a number above 1 and at most %v", g.Factor, float64(maxGuardFactor))
	}
	if len(g.Norms) > guardWindow || g.Spikes < 0 || g.NonFinite < 0 || g.Row < 0 {
		return fmt.Errorf("the spike guard has %d norms and skipped %d and %d steps, %d in a row: expected at most %d norms and no negative counts", len(g.Norms), g.Spikes, g.NonFinite, g.Row, guardWindow)
	}
	for _, v := range g.Norms {
		if !(v >= 0) {
			return fmt.Errorf("the spike guard has a gradient norm of %v, expected 0 or more", v)
		}
	}
	return nil
}

// maxGuardFactor keeps the limit of any sound norm in the range of float32.
const maxGuardFactor = 1e6

// Limit is the norm above which the next step is to be skipped, for Step.Limit; 0: none.
func (g *Guard) Limit() float64 {
	if g.Factor == 0 || len(g.Norms) < guardStart {
		return 0
	}
	var room [guardWindow]float64
	v := room[:copy(room[:], g.Norms)]
	slices.Sort(v)
	n := len(v)
	return g.Factor * (v[(n-1)/2] + v[n/2]) / 2
}

// Observe takes note of a step. After 100 that were not finite in a row it returns a *DivergedError.
func (g *Guard) Observe(m Metrics) error {
	if m.Applied {
		g.Row = 0
		if len(g.Norms) >= guardWindow { // in place, since steps must not leave garbage
			g.Norms = g.Norms[:copy(g.Norms, g.Norms[len(g.Norms)-guardWindow+1:])]
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
