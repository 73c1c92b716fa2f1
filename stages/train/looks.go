package main

import (
	"slices"
	"time"
)

// looks is what evaluations leave behind, kept in the resumable checkpoint as part of the history.
type looks struct {
	Done     int64    `json:"done"` // the step of the last one
	Score    *float64 `json:"score,omitempty"`
	Shown    []look   `json:"shown"`
	Stride   int64    `json:"stride"` // looks from one that is shown to the next
	Last     *look    `json:"last,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// look is one row of the picture: uint8 [n, C, H, W], or float32 [n, D].
type look struct {
	Step   int64     `json:"step"`
	Pixels []byte    `json:"pixels,omitempty"`
	Points []float32 `json:"points,omitempty"`
}

// keep adds a look, and thins those that are shown where they become too many. Which ones stay is a function of the steps
// that were looked at so far, whatever the training's length.
func (l *looks) keep(next look, every int64) {
	l.Last = &next
	l.Stride = max(1, l.Stride)
	if next.Step%(every*l.Stride) != 0 {
		return
	}
	l.Shown = append(slices.Clone(l.Shown), next)
	if len(l.Shown) > shownLooks {
		l.Stride *= 2
		l.Shown = slices.DeleteFunc(l.Shown, func(v look) bool { return v.Step%(every*l.Stride) != 0 })
	}
}

// rows are the looks of the picture.
func (l *looks) rows() []look {
	if l.Last == nil || len(l.Shown) > 0 && l.Shown[len(l.Shown)-1].Step == l.Last.Step {
		return l.Shown
	}
	return append(slices.Clone(l.Shown), *l.Last)
}

// leave puts what a look has come to into the history, and returns the time since its start.
func (l looks) leave(h *history, start time.Time) time.Duration {
	took := time.Since(start)
	h.LookSeconds += took.Seconds()
	h.Looks = l
	return took
}
