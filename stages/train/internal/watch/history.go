// Package watch takes measurements during training. It writes metrics lines and, for a potential, draws samples, scores
// them, and measures the variance of the gradient and the error of the field. Measurements do not affect the training,
// apart from the Guard against spikes, and the lines and pictures that they write depend only on the training itself.
// Therefore a run that is resumed, or that continues a shorter run, ends with the same bytes as an uninterrupted run.
package watch

import (
	"encoding/json"
	"fmt"
	"io"
	"math"

	"vapo/lib/portable"
	"vapo/lib/training"
)

// History holds the data that a resumed run needs in addition to the network's state. The resumable checkpoint contains
// both, so that they always belong together. The JSON names of History, State, Mark and Interval are a stored format:
// the output end contains State.
type History struct {
	Lines    []json.RawMessage `json:"lines"`    // lines of the metrics output so far
	Timeline []Mark            `json:"timeline"` // field errors, each with the seconds of training until then
	From     int64             `json:"from"`     // step at which the run began; above 0 if it continues a shorter one
	Seconds  float64           `json:"seconds"`  // time spent in training steps since From, over all attempts

	SnapshotSeconds float64 `json:"look_seconds,omitempty"` // time spent on snapshots since From, over all attempts
	State
}

// State is the part of the history that affects later steps, in the next attempt at this run or in a longer run of its
// series.
type State struct {
	Interval  Interval       `json:"window"`
	Guard     training.Guard `json:"guard"`
	Variance  *Measurement   `json:"variance,omitempty"` // latest measurement
	Snapshots SnapshotLog    `json:"looks"`
}

// Mark is one point of the curve of the field error over the seconds of training. Durations go only into the manifest,
// because the outputs must be the same bytes whether or not a run was interrupted.
type Mark struct {
	Step       int64              `json:"step"`
	Seconds    float64            `json:"seconds"`
	FieldError map[string]float64 `json:"field_error"`
}

// Interval accumulates the metrics of the steps since the last metrics line. Loss, GradNorm and FieldRMS are sums over
// the applied steps.
type Interval struct {
	Count    int64         `json:"count"` // number of applied steps
	Skipped  int64         `json:"skipped"`
	Loss     float64       `json:"loss"`
	GradNorm float64       `json:"grad_norm"`
	FieldRMS float64       `json:"field_rms"`
	Rate     float64       `json:"rate"` // learning rate of the last step
	Bins     training.Bins `json:"bins"`
}

// Add adds the metrics of one step.
func (v *Interval) Add(m training.Metrics) {
	v.Rate = m.Rate
	if !m.Applied {
		v.Skipped++
		return
	}
	v.Count++
	v.Loss += m.Loss
	v.GradNorm += m.GradNorm
	v.FieldRMS += m.FieldRMS
}

// Line is one line of the metrics output. Loss, GradNorm and FieldRMS are means over the applied steps since the
// previous line.
type Line struct {
	Step       int64                  `json:"step"`
	Loss       *float64               `json:"loss,omitempty"` // absent if no step was applied, like GradNorm and FieldRMS
	GradNorm   float64                `json:"grad_norm,omitempty"`
	FieldRMS   float64                `json:"field_rms,omitempty"`
	Rate       float64                `json:"learning_rate"`
	Skipped    int64                  `json:"skipped,omitempty"`
	FieldError map[string]float64     `json:"field_error,omitempty"`
	Bins       []training.BinSummary  `json:"bins,omitempty"` // for a potential: means by bins of training time
	Variance   []training.BinVariance `json:"gradient_variance,omitempty"`
}

// Log appends a line to the history and starts a new interval.
func (h *History) Log(step int64, fieldError map[string]float64, variance []training.BinVariance) error {
	v := &h.Interval
	l := Line{Step: step, Rate: v.Rate, Skipped: v.Skipped, FieldError: fieldError, Variance: variance}
	if n := float64(v.Count); n > 0 {
		loss := Round(v.Loss/n, 6)
		l.Loss, l.GradNorm, l.FieldRMS = &loss, Round(v.GradNorm/n, 6), Round(v.FieldRMS/n, 6)
	}
	if v.Bins != (training.Bins{}) {
		l.Bins = v.Bins.Summary()
		for i := range l.Bins {
			b := &l.Bins[i]
			b.Loss, b.GradRMS, b.Spread = Round(b.Loss, 5), Round(b.GradRMS, 5), Round(b.Spread, 5)
		}
	}
	raw, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("metrics at step %d: %w", step, err)
	}
	h.Lines = append(h.Lines, raw)
	h.Interval = Interval{}
	return nil
}

// WriteLines writes lines as NDJSON, the format of the metrics output.
func WriteLines(w io.Writer, lines []json.RawMessage) error {
	for _, l := range lines {
		if _, err := fmt.Fprintf(w, "%s\n", l); err != nil {
			return err
		}
	}
	return nil
}

// Round rounds v to the given number of significant digits.
func Round(v float64, digits int) float64 {
	if v == 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return v
	}
	scale := portable.Pow(10, float64(digits)-math.Ceil(portable.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}
