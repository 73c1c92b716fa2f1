// Package loop runs the training loop: it takes the remaining steps of a run, saves resumable checkpoints, and writes
// the outputs.
//
// The tests of stages/train cover this package: TestKilledRunsEndInTheSameBytes, TestDivergence and TestDamagedState
// (resume_test.go), and TestLongerRunsContinue (series_test.go).
package loop

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"vapo/lib/failure"
	"vapo/lib/layer"
	"vapo/lib/stage"
	"vapo/lib/training"
	"vapo/stages/train/internal/data"
	"vapo/stages/train/internal/watch"
)

// Loop is one training run. Call its method Run only once.
type Loop struct {
	Job     *stage.Job
	Trainer *training.Trainer
	Batches *data.Batches
	Options Options

	// Snapshots, Variance and Field are for potentials only. Each may be nil.
	Snapshots *watch.Snapshots
	Variance  *watch.Variance
	Field     *watch.Field

	// Finish, if not nil, records further results after the last step.
	Finish func() error

	h *watch.History
}

// Options are the parameters of the loop. Steps, Warmup, LogEvery and CheckpointEvery are numbers of optimiser steps.
type Options struct {
	Steps           int64
	Batch           int // samples per step
	Seed            uint64
	Warmup          int64
	SpikeFactor     float64 // see training.Guard
	LogEvery        int64
	CheckpointEvery int64
	AverageEvery    int64 // steps between snapshots of the averages with profiles; 0: none
}

// loggedSpikes limits the warnings about skipped steps: the first loggedSpikes are logged one by one, and after that
// only every loggedSpikes-th.
const loggedSpikes = 10

// Run trains from where this run, or a shorter run of its series, stopped. It then writes the outputs.
func (l *Loop) Run(ctx context.Context) error {
	l.Job.Set("parameters", layer.Count(l.Trainer.Params))
	l.Job.Set("memory_bytes", l.Trainer.MemoryBytes())
	first, err := l.start(ctx)
	if err != nil {
		return err
	}
	steps := l.Options.Steps
	progress := l.Job.Progress(steps, "steps")
	progress.Set(first)
	began := time.Now()
	batches := data.NewPrefetcher(l.Batches.Fill, l.Trainer, steps)
	defer batches.Close()
	for step := first; step < steps; step++ {
		if ctx.Err() != nil {
			return l.interrupted(ctx, step)
		}
		spent, err := l.Snapshots.At(ctx, step, l.h)
		if err != nil {
			return l.stopped(ctx, step, err)
		}
		began = began.Add(spent)
		start := time.Now()
		b, err := batches.Take(step)
		if err != nil {
			return l.stopped(ctx, step, err)
		}
		m, err := l.step(step, b)
		if err != nil {
			return err
		}
		l.h.Seconds += time.Since(start).Seconds()
		if err := l.observe(ctx, step, m); err != nil {
			return err
		}
		done := step + 1
		if done%10 == 0 || done == steps {
			rate := float64((done-first)*int64(l.Options.Batch)) / time.Since(began).Seconds()
			progress.Set(done, "loss", watch.Round(m.Loss, 4), "samples_per_s", watch.Round(rate, 3))
		}
		if err := l.keepAverages(ctx, done); err != nil {
			return err
		}
		if done%l.Options.CheckpointEvery == 0 && done < steps {
			if err := l.save(ctx, done); err != nil {
				return err
			}
		}
	}
	progress.Done()
	return l.finish(ctx)
}

// step takes one optimiser step and adds the batch's per-sample metrics to the bins of training time.
func (l *Loop) step(step int64, b *training.Batch) (training.Metrics, error) {
	l.Trainer.Limit = 0
	if step >= l.Options.Warmup { // no limit during the warm-up, when gradients still grow
		l.Trainer.Limit = l.h.Guard.Limit()
	}
	m, err := l.Trainer.Step(step, b)
	if err == nil && len(b.Fraction) > 0 { // false for a classifier, which has no training times
		err = l.h.Interval.Bins.Add(b.Fraction, l.Trainer.PerSample)
	}
	return m, err
}

// observe handles the metrics of one step. It stops a run that diverged, and takes and logs the measurements that are
// due.
func (l *Loop) observe(ctx context.Context, step int64, m training.Metrics) error {
	if m.NonFinite {
		return l.diverged(ctx, step, failure.New(failure.Numeric, "lower --learning-rate or --clip-norm",
			"loss %v, gradient norm %v", m.Loss, m.GradNorm))
	}
	spikes := l.h.Guard.Spikes
	if m.Spike && (spikes < loggedSpikes || spikes%loggedSpikes == 0) {
		l.Job.Log().Warn("skipped a step because of a gradient spike", "step", step,
			"grad_norm", watch.Round(m.GradNorm, 4), "limit", watch.Round(l.Trainer.Limit, 4))
	}
	if err := l.h.Guard.Observe(m); err != nil {
		return l.diverged(ctx, step, err)
	}
	l.h.Interval.Add(m)
	done := step + 1
	fieldError, err := l.Field.At(l.Trainer, done, l.h)
	if err != nil {
		return err
	}
	variance, err := l.Variance.At(l.Trainer, done, l.h)
	if err != nil {
		return err
	}
	if done%l.Options.LogEvery == 0 || fieldError != nil || variance != nil {
		return l.h.Log(done, fieldError, variance)
	}
	return nil
}

// results records the results of the training in the manifest.
func (l *Loop) results() error {
	job, h := l.Job, l.h
	if h.From > 0 {
		job.Set("continued_from_step", h.From)
	}
	job.Set("train_seconds", watch.Round(h.Seconds, 4))
	job.Cost("seconds", watch.Round(h.Seconds, 4))
	if taken := l.Options.Steps - h.From; taken > 0 {
		rate := watch.Round(float64(taken)*float64(l.Options.Batch)/h.Seconds, 4)
		job.Set("samples_per_second", rate)
		job.Cost("samples/s", rate)
	}
	if h.Guard.Spikes > 0 {
		job.Set("steps_skipped", h.Guard.Spikes)
		job.Warn("%d of %d steps were skipped because their gradient norm exceeded %v times the median",
			h.Guard.Spikes, l.Options.Steps, l.Options.SpikeFactor)
	}
	if len(h.Timeline) > 0 {
		job.Set("timeline", h.Timeline)
	}
	if h.Variance != nil {
		job.Set("gradient_variance", h.Variance)
	}
	did := fmt.Sprintf("a network of %d parameters, trained for %d steps of %d samples",
		layer.Count(l.Trainer.Params), l.Options.Steps, l.Options.Batch)
	for _, raw := range slices.Backward(h.Lines) {
		var line watch.Line
		// A line with a score has no loss, and neither has a line for steps that were all skipped.
		if json.Unmarshal(raw, &line) == nil && line.Loss != nil {
			job.Set("final_loss", *line.Loss)
			did += fmt.Sprintf(", last loss %.4g", *line.Loss)
			break
		}
	}
	job.Summary("%s", did)
	if l.Finish != nil {
		return l.Finish()
	}
	return nil
}

// stopped handles an error that occurred when the given number of steps was done. If the run was interrupted, stopped
// saves the state; otherwise it returns err.
func (l *Loop) stopped(ctx context.Context, step int64, err error) error {
	if ctx.Err() != nil {
		return l.interrupted(ctx, step)
	}
	return err
}

// saveTime limits how long saving the checkpoint may take after a signal.
const saveTime = 60 * time.Second

func (l *Loop) interrupted(ctx context.Context, step int64) error {
	saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	if err := l.save(saving, step); err != nil {
		return err
	}
	l.Job.Log().Info("stopped, a resumable checkpoint is kept", "step", step)
	return context.Cause(ctx)
}

// diverged ends a run in which the step with the given index, counted from 0, has a loss or a gradient that is not
// finite, or is one skipped step too many. It saves the state before that step, which did not change the weights.
func (l *Loop) diverged(ctx context.Context, step int64, reason error) error {
	kept := fmt.Sprintf("the state after %d steps is kept", step)
	if err := l.save(ctx, step); err != nil {
		l.Job.Log().Error("the last good state could not be saved", "reason", err)
		kept = "the last good state could not be saved"
	}
	return failure.New(failure.Numeric, failure.HintOf(reason), "training diverged at step %d: %w; %s", step, reason, kept)
}
