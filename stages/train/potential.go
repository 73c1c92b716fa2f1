package main

import (
	"context"

	"vapo/lib/backend"
	"vapo/lib/failure"
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
	if err != nil {
		return nil, failure.Default(failure.Input, "", err) // the network does not fit the data
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
	return l, err
}
