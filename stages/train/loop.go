package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"vapo/lib/checkpoint"
	"vapo/lib/failure"
	"vapo/lib/layer"
	"vapo/lib/stage"
	"vapo/lib/training"
)

// saidSpikes is how many skipped steps are told of in the log, and every how many further ones one is.
const saidSpikes = 10

// trainer takes a run to its end from where it stands.
type trainer struct {
	job      *stage.Job
	p        *params
	r        runner
	s        *training.Step
	eval     *evaluator
	variance *varianceProbe // nil where the gradient's variance is not measured
	h        *history
}

// loop trains from where the run, or a shorter one of its series, stopped to the end.
func (t *trainer) loop(ctx context.Context) error {
	t.s = t.r.step()
	t.job.Set("parameters", layer.Count(t.s.Params))
	t.job.Set("memory_bytes", t.s.MemoryBytes())
	first, err := t.resume(ctx)
	if err != nil {
		return err
	}
	steps := int64(t.p.Steps)
	progress := t.job.Progress(steps, "steps")
	progress.Set(first)
	began := time.Now()
	batches := newAhead(t.r, steps)
	defer batches.finish()
	for step := first; step < steps; step++ {
		if ctx.Err() != nil {
			return t.interrupted(ctx, step)
		}
		spent, err := t.eval.at(ctx, step, t.h)
		if err != nil {
			return t.stopped(ctx, step, err)
		}
		began = began.Add(spent)
		start := time.Now()
		b, err := batches.take(step)
		if err != nil {
			return t.stopped(ctx, step, err)
		}
		m, err := t.step(step, b)
		if err != nil {
			return err
		}
		t.h.Seconds += time.Since(start).Seconds()
		if m.NonFinite {
			return t.diverged(ctx, step, fmt.Errorf("loss %v, gradient norm %v", m.Loss, m.GradNorm))
		}
		if m.Spike && (t.h.Guard.Spikes < saidSpikes || t.h.Guard.Spikes%saidSpikes == 0) {
			t.job.Log().Warn("a step was skipped, its gradient is a spike", "step", step, "grad_norm", round(m.GradNorm, 4), "limit", round(t.s.Limit, 4))
		}
		if err := t.h.Guard.Observe(m); err != nil {
			return t.diverged(ctx, step, err)
		}
		t.h.Window.add(m)
		done := step + 1
		if err := t.observe(done); err != nil {
			return err
		}
		if done%10 == 0 || done == steps {
			rate := float64((done-first)*int64(t.p.Batch)) / time.Since(began).Seconds()
			progress.Set(done, "loss", round(m.Loss, 4), "samples_per_s", round(rate, 3))
		}
		if done%int64(t.p.CheckpointEvery) == 0 && done < steps {
			if err := t.save(ctx, done); err != nil {
				return err
			}
		}
	}
	progress.Done()
	return t.finish(ctx)
}

// step takes one step, micro-batch by micro-batch.
func (t *trainer) step(step int64, b *batch) (m training.Metrics, err error) {
	t.s.Limit = 0
	if step >= int64(t.p.Warmup) { // until then gradients grow with what the network has learned
		t.s.Limit = t.h.Guard.Limit()
	}
	for micro, part := range b.parts {
		t.s.SwapBatch(part.inputs)
		if m, _, err = t.s.RunMicro(step, micro); err != nil {
			return m, err
		}
		if len(part.u) == 0 { // a classifier's samples are at no time
			continue
		}
		if err := t.h.Window.Bins.Add(part.u, t.s.PerSample); err != nil {
			return m, err
		}
	}
	return m, nil
}

// observe measures and logs what is due after so many steps.
func (t *trainer) observe(done int64) (err error) {
	var fieldError map[string]float64
	if f := fieldOf(t.r); f != nil && done%int64(t.p.FieldEvery) == 0 {
		if fieldError, err = f.errors(t.s); err != nil {
			return err
		}
		t.h.Timeline = append(t.h.Timeline, mark{done, t.h.Seconds, fieldError})
	}
	var variance []training.BinVariance
	if t.variance != nil && done%int64(t.p.VarianceEvery) == 0 {
		if variance, err = t.variance.measure(t.s, done); err != nil {
			return err
		}
		t.h.Variance = &varianceMeasure{Step: done, Bins: variance}
	}
	if done%int64(t.p.LogEvery) == 0 || fieldError != nil || variance != nil {
		return t.h.log(done, fieldError, variance)
	}
	return nil
}

func fieldOf(r runner) *fieldCheck {
	if pr, ok := r.(*potentialRun); ok {
		return pr.field
	}
	return nil
}

// finish writes the outputs.
func (t *trainer) finish(ctx context.Context) error {
	steps := int64(t.p.Steps)
	if _, err := t.eval.at(ctx, steps, t.h); err != nil {
		return t.stopped(ctx, steps, err)
	}
	// What follows is of the last step only because it is the last: a longer run does without.
	end := ending{Series: t.job.Series(), Step: steps, Lines: len(t.h.Lines), Metrics: linesDigest(t.h.Lines), standing: t.h.standing}
	if w := t.h.Window; w.Count+w.Skipped > 0 {
		if err := t.h.log(steps, nil, nil); err != nil {
			return err
		}
	}
	if err := t.eval.last(ctx, steps, t.h); err != nil {
		return t.stopped(ctx, steps, err)
	}
	c, err := t.s.Checkpoint(steps)
	if err != nil {
		return err
	}
	if name, bad := c.NonFinite(); bad {
		return failure.New(failure.Numeric, "lower --learning-rate", "tensor %s of the final checkpoint is not finite", name)
	}
	sum := sha256.New()
	if err := t.job.Output(ctx, "checkpoint", func(w io.Writer) error { return checkpoint.Write(io.MultiWriter(w, sum), c) }); err != nil {
		return err
	}
	end.Checkpoint = hex.EncodeToString(sum.Sum(nil))
	if err := t.job.Output(ctx, "end", func(w io.Writer) error { return json.NewEncoder(w).Encode(end) }); err != nil {
		return err
	}
	if err := t.job.Output(ctx, "metrics", func(w io.Writer) error { return writeLines(w, t.h.Lines) }); err != nil {
		return err
	}
	if err := t.eval.finish(ctx, t.h); err != nil {
		return err
	}
	return t.results()
}

// results records in the manifest what people want to know of the training.
func (t *trainer) results() error {
	job, h := t.job, t.h
	if h.From > 0 {
		job.Set("went_on_from_step", h.From)
	}
	job.Set("train_seconds", round(h.Seconds, 4))
	if taken := int64(t.p.Steps) - h.From; taken > 0 {
		job.Set("samples_per_second", round(float64(taken)*float64(t.p.Batch)/h.Seconds, 4))
	}
	if h.Guard.Spikes > 0 {
		job.Set("steps_skipped", h.Guard.Spikes)
		job.Warn("%d of %d steps were skipped, their gradients being more than %v times as large as is usual", h.Guard.Spikes, t.p.Steps, t.p.SpikeFactor)
	}
	if len(h.Timeline) > 0 {
		job.Set("timeline", h.Timeline)
	}
	if h.Variance != nil {
		job.Set("gradient_variance", h.Variance)
	}
	for _, l := range slices.Backward(h.Lines) {
		var final struct{ Loss *float64 }
		if json.Unmarshal(l, &final) == nil && final.Loss != nil { // a line may hold a score alone
			job.Set("final_loss", *final.Loss)
			break
		}
	}
	cr, ok := t.r.(*classifierRun)
	if !ok || cr.test == nil {
		return nil
	}
	a, err := cr.accuracy()
	if err != nil {
		return err
	}
	job.Set("accuracy", round(a, 5))
	job.Set("accuracy_images", cr.test.N)
	return nil
}
