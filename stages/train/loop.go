package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"

	"vapo/lib/checkpoint"
	"vapo/lib/layer"
	"vapo/lib/stage"
	"vapo/lib/training"
)

// liveState is the name of the resumable checkpoint.
const liveState = "state"

// history is what a resumed run must know besides the network's state, kept inside the resumable checkpoint so that
// the two can never disagree.
type history struct {
	Lines    []json.RawMessage `json:"lines"`    // metrics written so far
	Timeline []mark            `json:"timeline"` // field errors with the time at which they were reached
	Seconds  float64           `json:"seconds"`  // spent in training steps, over all runs
	Window   window            `json:"window"`
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
	Count                    int64
	Loss, GradNorm, FieldRMS float64
}

func (w *window) add(m training.Metrics) {
	w.Count++
	w.Loss += m.Loss
	w.GradNorm += m.GradNorm
	w.FieldRMS += m.FieldRMS
}

// line is one line of the metrics output.
type line struct {
	Step       int64              `json:"step"`
	Loss       float64            `json:"loss"`
	GradNorm   float64            `json:"grad_norm"`
	FieldRMS   float64            `json:"field_rms,omitempty"`
	Rate       float64            `json:"learning_rate"`
	FieldError map[string]float64 `json:"field_error,omitempty"`
}

// loop trains from the last resumable checkpoint, or from the start, to the end.
func loop(ctx context.Context, job *stage.Job, p *params, r runner) error {
	s := r.step()
	job.Set("parameters", layer.Count(s.Params))
	job.Set("memory_bytes", s.MemoryBytes())
	h, first, err := resume(ctx, job, s, p)
	if err != nil {
		return err
	}
	progress := job.Progress(int64(p.Steps), "steps")
	progress.Set(first)
	began := time.Now()
	batches := newAhead(r, int64(p.Steps))
	defer batches.finish()
	for step := first; step < int64(p.Steps); step++ {
		if ctx.Err() != nil {
			return interrupted(ctx, job, s, step, h)
		}
		start := time.Now()
		if err := batches.take(step); err != nil {
			if ctx.Err() != nil { // stopped while it waited for data
				return interrupted(ctx, job, s, step, h)
			}
			return err
		}
		m, err := s.Run(step)
		if err != nil {
			return err
		}
		h.Seconds += time.Since(start).Seconds()
		if !m.Applied || math.IsNaN(m.Loss) {
			return diverged(ctx, job, s, step, h, m)
		}
		h.Window.add(m)
		done := step + 1
		last := done == int64(p.Steps)
		var fieldError map[string]float64
		if f := fieldOf(r); f != nil && (done%int64(p.FieldEvery) == 0 || last) {
			if fieldError, err = f.errors(s); err != nil {
				return err
			}
			h.Timeline = append(h.Timeline, mark{done, h.Seconds, fieldError})
		}
		if done%int64(p.LogEvery) == 0 || last || fieldError != nil {
			if err := h.log(done, m.Rate, fieldError); err != nil {
				return err
			}
		}
		if done%10 == 0 || last {
			rate := float64((done-first)*int64(p.Batch)) / time.Since(began).Seconds()
			progress.Set(done, "loss", round(m.Loss, 4), "samples_per_s", round(rate, 3))
		}
		if done%int64(p.CheckpointEvery) == 0 && !last {
			if err := save(ctx, job, s, done, h); err != nil {
				return err
			}
		}
	}
	progress.Done()
	return finish(ctx, job, p, r, h)
}

func fieldOf(r runner) *fieldCheck {
	if pr, ok := r.(*potentialRun); ok {
		return pr.field
	}
	return nil
}

// log ends the window with a line.
func (h *history) log(step int64, rate float64, fieldError map[string]float64) error {
	n := float64(max(1, h.Window.Count))
	raw, err := json.Marshal(line{
		Step: step, Loss: round(h.Window.Loss/n, 6), GradNorm: round(h.Window.GradNorm/n, 6),
		FieldRMS: round(h.Window.FieldRMS/n, 6), Rate: rate, FieldError: fieldError,
	})
	if err != nil {
		return fmt.Errorf("metrics at step %d: %w", step, err)
	}
	h.Lines = append(h.Lines, raw)
	h.Window = window{}
	return nil
}

// resume restores the state that a killed run of this action left, if there is one.
func resume(ctx context.Context, job *stage.Job, s *training.Step, p *params) (*history, int64, error) {
	h := &history{}
	path, ok, err := job.Live().Load(ctx, liveState)
	if err != nil {
		return nil, 0, err
	}
	if !ok {
		return h, 0, s.Initialise(p.Seed)
	}
	c, err := checkpoint.Read(path)
	if err == nil {
		err = s.Restore(c)
	}
	if err == nil {
		err = json.Unmarshal(c.Extra["history"], h)
	}
	if err != nil {
		job.Log().Warn("the resumable checkpoint cannot be used, starting over", "reason", err)
		return &history{}, 0, s.Initialise(p.Seed)
	}
	job.Log().Info("resuming", "step", c.Step)
	return h, c.Step, nil
}

// save writes the resumable checkpoint after step steps.
func save(ctx context.Context, job *stage.Job, s *training.Step, step int64, h *history) error {
	c, err := s.Checkpoint(step)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(h)
	if err != nil {
		return err
	}
	c.Extra = map[string]json.RawMessage{"history": raw}
	return job.Live().Save(ctx, liveState, func(w io.Writer) error { return checkpoint.Write(w, c) })
}

// saveTime bounds the writing of a last checkpoint after a signal.
const saveTime = 60 * time.Second

func interrupted(ctx context.Context, job *stage.Job, s *training.Step, step int64, h *history) error {
	saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	if err := save(saving, job, s, step, h); err != nil {
		return err
	}
	job.Log().Info("stopped, a resumable checkpoint is kept", "step", step)
	return context.Cause(ctx)
}

// diverged ends a run whose next state would not be finite. The step graph has kept the state before it.
func diverged(ctx context.Context, job *stage.Job, s *training.Step, step int64, h *history, m training.Metrics) error {
	if err := save(ctx, job, s, step, h); err != nil {
		job.Log().Error("the last good state could not be saved", "reason", err)
	}
	return stage.Fail(stage.ExitNumeric, "lower --learning-rate or --clip-norm; the last good state is kept as the run's resumable checkpoint",
		"training diverged at step %d: loss %v, gradient norm %v; the state after %d steps is kept", step, m.Loss, m.GradNorm, step)
}

// finish writes the outputs.
func finish(ctx context.Context, job *stage.Job, p *params, r runner, h *history) error {
	s := r.step()
	c, err := s.Checkpoint(int64(p.Steps))
	if err != nil {
		return err
	}
	if name, bad := c.NonFinite(); bad {
		return stage.Fail(stage.ExitNumeric, "lower --learning-rate", "tensor %s of the final checkpoint is not finite", name)
	}
	if err := job.Output(ctx, "checkpoint", func(w io.Writer) error { return checkpoint.Write(w, c) }); err != nil {
		return err
	}
	err = job.Output(ctx, "metrics", func(w io.Writer) error {
		for _, l := range h.Lines {
			if _, err := w.Write(append(append([]byte(nil), l...), '\n')); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	job.Set("train_seconds", round(h.Seconds, 4))
	job.Set("samples_per_second", round(float64(p.Steps)*float64(p.Batch)/h.Seconds, 4))
	if len(h.Timeline) > 0 {
		job.Set("timeline", h.Timeline)
	}
	var final line
	if len(h.Lines) > 0 && json.Unmarshal(h.Lines[len(h.Lines)-1], &final) == nil {
		job.Set("final_loss", final.Loss)
	}
	if cr, ok := r.(*classifierRun); ok && cr.test != nil {
		a, err := cr.accuracy()
		if err != nil {
			return err
		}
		job.Set("accuracy", round(a, 5))
		job.Set("accuracy_images", cr.test.N)
	}
	return nil
}

// round keeps a number of significant digits, for people.
func round(v float64, digits int) float64 {
	if v == 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return v
	}
	scale := math.Pow(10, float64(digits)-math.Ceil(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}
