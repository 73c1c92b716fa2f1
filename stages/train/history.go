package main

import (
	"encoding/json"
	"fmt"
	"math"

	"vapo/lib/portable"
	"vapo/lib/training"
)

// history is what a resumed run must know besides the network's state, kept inside the resumable checkpoint so that
// the two can never disagree.
type history struct {
	Lines       []json.RawMessage `json:"lines"`                  // metrics written so far
	Timeline    []mark            `json:"timeline"`               // field errors with the time at which they were reached
	From        int64             `json:"from"`                   // the step at which this run began: that of an earlier one it goes on from
	Seconds     float64           `json:"seconds"`                // spent in training steps since then, over all attempts
	LookSeconds float64           `json:"look_seconds,omitempty"` // spent on looks, likewise
	standing
}

// standing is the part of the history that steps to come depend on, whoever takes them: the next attempt at this run, or
// a longer run of its series.
type standing struct {
	Window   window           `json:"window"`
	Guard    training.Guard   `json:"guard"`
	Variance *varianceMeasure `json:"variance,omitempty"` // the last one
	Looks    looks            `json:"looks"`              // see evaluate.go
}

// mark is one point of the error-over-time curve. Times go into the manifest, never into an output: outputs are the
// same bytes whether or not a run was interrupted.
type mark struct {
	Step       int64              `json:"step"`
	Seconds    float64            `json:"seconds"`
	FieldError map[string]float64 `json:"field_error"`
}

// window averages the metrics since the last line.
type window struct {
	Count    int64         `json:"count"` // steps taken
	Skipped  int64         `json:"skipped"`
	Loss     float64       `json:"loss"`
	GradNorm float64       `json:"grad_norm"`
	FieldRMS float64       `json:"field_rms"`
	Rate     float64       `json:"rate"` // of the last step
	Bins     training.Bins `json:"bins"`
}

func (w *window) add(m training.Metrics) {
	w.Rate = m.Rate
	if !m.Applied {
		w.Skipped++
		return
	}
	w.Count++
	w.Loss += m.Loss
	w.GradNorm += m.GradNorm
	w.FieldRMS += m.FieldRMS
}

// line is one line of the metrics output: means over the steps since the line before.
type line struct {
	Step       int64                  `json:"step"`
	Loss       *float64               `json:"loss,omitempty"` // absent, with what follows, where no step was taken
	GradNorm   float64                `json:"grad_norm,omitempty"`
	FieldRMS   float64                `json:"field_rms,omitempty"`
	Rate       float64                `json:"learning_rate"`
	Skipped    int64                  `json:"skipped,omitempty"` // steps whose gradient was a spike
	FieldError map[string]float64     `json:"field_error,omitempty"`
	Bins       []training.BinSummary  `json:"bins,omitempty"` // a potential's, by time
	Variance   []training.BinVariance `json:"gradient_variance,omitempty"`
}

// log ends the window with a line.
func (h *history) log(step int64, fieldError map[string]float64, variance []training.BinVariance) error {
	w := &h.Window
	l := line{Step: step, Rate: w.Rate, Skipped: w.Skipped, FieldError: fieldError, Variance: variance}
	if n := float64(w.Count); n > 0 {
		loss := round(w.Loss/n, 6)
		l.Loss, l.GradNorm, l.FieldRMS = &loss, round(w.GradNorm/n, 6), round(w.FieldRMS/n, 6)
	}
	if w.Bins != (training.Bins{}) {
		l.Bins = w.Bins.Summary()
		for i := range l.Bins {
			b := &l.Bins[i]
			b.Loss, b.GradRMS, b.Spread = round(b.Loss, 5), round(b.GradRMS, 5), round(b.Spread, 5)
		}
	}
	raw, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("metrics at step %d: %w", step, err)
	}
	h.Lines = append(h.Lines, raw)
	h.Window = window{}
	return nil
}

// round keeps a number of significant digits, for people.
func round(v float64, digits int) float64 {
	if v == 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return v
	}
	scale := portable.Pow(10, float64(digits)-math.Ceil(portable.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}
