package main

import (
	"context"
	"fmt"
	"slices"

	"vapo/lib/backend"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/stage"
	"vapo/lib/training"
	"vapo/stages/train/internal/data"
	"vapo/stages/train/internal/loop"
	"vapo/stages/train/internal/watch"
)

// classifierLoop prepares the training of the feature network.
func classifierLoop(
	ctx context.Context, job *stage.Job, be backend.Backend, p *params, src *data.Source,
) (*loop.Loop, error) {
	if _, err := data.Images(src.Set, p.Model); err != nil {
		return nil, err
	}
	b := &data.Batches{Source: src, Seed: p.Seed, Flip: p.Flip}
	labels, classes, err := src.Labels("a classifier")
	if err != nil {
		return nil, err
	}
	b.Labels = labels
	c := p.classifierConfig(src.Shape(), classes)
	o, err := p.optimiser()
	if err != nil {
		return nil, err
	}
	t, err := training.Classifier(be, c, o)
	if err != nil {
		return nil, failure.Default(failure.Input, "choose a network that fits the data", err)
	}
	l := &loop.Loop{Job: job, Trainer: t, Batches: b, Options: p.loopOptions()}
	if !job.HasInput("test") {
		return l, nil
	}
	test, err := testImages(ctx, job, src) // read before training, so that a wrong input fails early
	if err != nil {
		return nil, err
	}
	l.Finish = func() error { return recordAccuracy(job, be, t, c, test) }
	return l, nil
}

// testImages reads the test input. It returns an error unless the input holds labelled images of the shape and the
// classes of the training data.
func testImages(ctx context.Context, job *stage.Job, src *data.Source) (*dataset.Images, error) {
	set, err := data.Read(ctx, job, "test")
	if err != nil {
		return nil, err
	}
	test, err := data.Images(set, "classifier")
	if err != nil {
		return nil, fmt.Errorf("input test: %w", err)
	}
	if shape := src.Shape(); len(test.Labels) != test.N || !slices.Equal(test.Shape(), shape) {
		return nil, failure.New(failure.Input, data.TestHint,
			"input test: %d images of shape %v with %d labels, expected labelled images of shape %v, as in the input data",
			test.N, test.Shape(), len(test.Labels), shape)
	}
	return test, src.CheckClasses(test)
}

// recordAccuracy records the fraction of test images that the network with averaged weights classifies correctly.
func recordAccuracy(
	job *stage.Job, be backend.Backend, t *training.Trainer, c feature.Classifier, test *dataset.Images,
) error {
	weights, err := t.Averages(0)
	if err != nil {
		return err
	}
	n, err := feature.NewClassifier(be, c, weights)
	if err != nil {
		return err
	}
	a, err := n.Accuracy(test)
	if err != nil {
		return failure.New(failure.Input, "", "input test: %w", err)
	}
	job.Set("accuracy", watch.Round(a, 5))
	job.Set("accuracy_images", test.N)
	job.Summary("it classifies %.4g %% of %d test images correctly", 100*a, test.N)
	return nil
}
