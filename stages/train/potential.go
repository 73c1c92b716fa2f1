package main

import (
	"context"
	"errors"

	"vapo/lib/backend"
	"vapo/lib/failure"
	"vapo/lib/graphop"
	"vapo/lib/stage"
	"vapo/lib/training"
	"vapo/stages/train/internal/data"
	"vapo/stages/train/internal/loop"
	"vapo/stages/train/internal/watch"
)

// potentialLoop prepares the training of a potential, including its snapshots and measurements.
func potentialLoop(
	ctx context.Context, job *stage.Job, be backend.Backend, p *params, src *data.Source,
) (*loop.Loop, error) {
	if p.Model != "mlp" {
		if _, err := data.Images(src.Set, p.Model); err != nil {
			return nil, err
		}
	}
	c, err := p.potentialConfig(src.Shape())
	if err != nil {
		return nil, failure.New(failure.Input, "choose a network that fits the data", "%w", err)
	}
	b := &data.Batches{Source: src, Seed: p.Seed, Flip: p.Flip, Dropout: p.LabelDropout}
	if p.Conditional {
		if b.Labels, c.Classes, err = src.Labels("--conditional"); err != nil {
			return nil, err
		}
	}
	if b.Path, b.Times, err = p.path(); err != nil {
		return nil, err
	}
	o, err := p.optimiser()
	if err != nil {
		return nil, err
	}
	t, err := training.Potential(be, c, p.Objective, o, p.Remat)
	if large := (*graphop.Error)(nil); errors.As(err, &large) && large.TooLarge {
		return nil, failure.New(failure.Resources, "use a smaller --batch or --micro-batch, or a smaller network",
			"%d samples at once are too many for the network: %w", p.rows(), err)
	}
	if err != nil {
		return nil, failure.Default(failure.Input, "choose a network that fits the data", err)
	}
	t.Seed = p.Seed
	l := &loop.Loop{Job: job, Trainer: t, Batches: b, Options: p.loopOptions()}
	if l.Field, err = watch.NewField(be, c, p.FieldEvery, p.Seed, src.Set); err != nil {
		return nil, err
	}
	if l.Snapshots, err = watch.NewSnapshots(ctx, job, be, p.Snapshots, t, c, src); err != nil {
		return nil, err
	}
	l.Variance, err = watch.NewVariance(be, c, p.Objective, p.rows(), p.VarianceEvery, p.VarianceBatches, b, p.Remat)
	if err != nil || !job.HasInput("test") {
		return l, err
	}
	set, err := data.Read(ctx, job, "test") // read before training, so that a wrong input fails early
	if err != nil {
		return nil, err
	}
	loss, err := watch.NewTestLoss(be, c, p.Objective, p.rows(), b, set)
	if err != nil {
		return nil, err
	}
	l.Finish = func() error { return recordTestLoss(job, t, loss) }
	return l, nil
}

// recordTestLoss records the mean loss on the test input, over all samples and for each bin of training time.
func recordTestLoss(job *stage.Job, t *training.Trainer, loss *watch.TestLoss) error {
	bins, err := loss.Measure(t)
	if err != nil {
		return err
	}
	mean := 0.0
	for i, v := range bins {
		mean += v / float64(len(bins))
		bins[i] = watch.Round(v, 6)
	}
	mean = watch.Round(mean, 6)
	job.Set("test_loss", mean)
	job.Set("test_loss_by_time", bins)
	job.Set("test_samples", loss.Len())
	job.Summary("the loss on %d test samples is %.4g", loss.Len(), mean)
	return nil
}
