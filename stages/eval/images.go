package main

import (
	"context"
	"fmt"

	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/lib/stage"
)

// comparison holds the sets of images that a score compares, checked but with no features computed yet.
type comparison struct {
	scorer             *scorer
	samples, reference *imageSet
	test               *imageSet // nil if it was not given
	baselines          []baseline
}

// compare prepares the comparison of samples with a reference.
func compare(
	ctx context.Context, job *stage.Job, p *params, open opener, samples, reference *imageSet,
) (*comparison, error) {
	sets := []*imageSet{samples, reference}
	var test *imageSet
	if job.HasInput("test") {
		var err error
		if test, _, err = readInput(ctx, job, "test"); err != nil {
			return nil, err
		}
		if test != nil && test.archive != "" {
			if err := test.useImages(); err != nil {
				return nil, err
			}
		}
		if test == nil || test.loaded == nil {
			return nil, failure.New(failure.Input, sameKind, "input test holds no images")
		}
		sets = append(sets, test)
	}
	metrics, err := p.Measures.selection()
	if err != nil {
		return nil, err
	}
	scorer := newScorer(metrics, p.Projections, p.Seed)
	if job.HasInput("features") {
		if err := useNetwork(ctx, job, p, open, scorer); err != nil {
			return nil, err
		}
	}
	if err := scorer.choose(samples, reference); err != nil {
		return nil, err
	}
	if err := scorer.check(sets...); err != nil {
		return nil, err
	}
	if scorer.inception() && !job.Tunes() { // tune must run the network, even if all features are cached
		if scorer.extractor.Cache, err = job.Parts(ctx); err != nil {
			return nil, err
		}
	}
	return &comparison{scorer, samples, reference, test, baselines(p, samples, reference, test)}, nil
}

// useNetwork makes a scorer use the feature network of the input features.
func useNetwork(ctx context.Context, job *stage.Job, p *params, open opener, scorer *scorer) error {
	path, err := job.Input(ctx, "features")
	if err != nil {
		return err
	}
	be, err := open()
	if err != nil {
		return fmt.Errorf("feature network: %w", err)
	}
	extractor, err := p.Measures.open(path, job.Digest("features"), scorer.metrics, be)
	if err != nil {
		return err
	}
	if tuning := job.Digest(stage.Tuning.Name); tuning != "" {
		extractor.Backend += " " + tuning // enters the cache keys: a tuning changes the last bits of features
	}
	job.Set("block", extractor.Network.Block)
	scorer.use(extractor)
	return nil
}

// scoreImages scores samples that are images, and writes the outputs that show them.
func scoreImages(
	ctx context.Context, job *stage.Job, p *params, open opener, samples, reference *imageSet,
) (*score, error) {
	c, err := compare(ctx, job, p, open, samples, reference)
	if err != nil {
		return nil, err
	}
	scorer := c.scorer
	// Check all inputs first: computing the score may take an hour.
	paths, err := scorer.readPaths(ctx, job, p.PathPoints)
	if err != nil {
		return nil, err
	}
	inliers := reference
	if c.test != nil {
		inliers = c.test
	}
	if inliers.loaded == nil && job.HasInput("outliers") {
		return nil, failure.New(failure.Input, "give images as input test",
			"outliers are compared with images, but %s holds no images", inliers.label)
	}
	scorer.score.Baselines = map[string]float64{}
	s, err := scorer.run(ctx, samples, reference, c.baselines, job.Progress)
	if err != nil {
		return nil, err
	}
	s.Reference = reference.name
	if scorer.inPixels() {
		s.Projections = p.Projections
	}
	s.Headline = imageHeadline(s)
	if err := writeFeatures(ctx, job, p, scorer, reference); err != nil {
		return nil, err
	}
	if err := drawNeighbours(ctx, job, p, s, samples.loaded, reference.loaded, c.test); err != nil {
		return nil, err
	}
	if paths != nil {
		if s.Paths, err = scorer.scorePaths(ctx, job, paths, p.PathPoints); err != nil {
			return nil, err
		}
	}
	s.OOD, err = scoreOutliers(ctx, job, p, open, inliers.loaded, inliers.name)
	return s, err
}

// runShard computes and caches one worker's share of the features. Only features of Inception are worth sharing: the
// rest of a score, and the features of a classifier, take little time and are left to the whole run.
func runShard(ctx context.Context, job *stage.Job, p *params, shard contract.Shard) error {
	samples, _, err := readInput(ctx, job, "samples")
	if err != nil {
		return err
	}
	reference, _, err := readInput(ctx, job, "reference")
	if err != nil || samples == nil || reference == nil {
		return err // points have no features
	}
	c, err := compare(ctx, job, p, openerFor(ctx, job, p), samples, reference)
	if err != nil || !c.scorer.inception() {
		return err
	}
	e := c.scorer.extractor
	sets := c.scorer.sets(samples, reference, c.baselines)
	paths, err := c.scorer.readPaths(ctx, job, p.PathPoints)
	if err != nil {
		return err
	}
	if paths != nil {
		sets = append(sets, loadedSet("input paths", paths), loadedSet("input paths", blend(paths, p.PathPoints)))
	}
	total := 0
	for _, s := range sets {
		total += e.Share(s.images, shard.I-1, shard.N)
	}
	defer watch(e, job.Progress(int64(total), "images"), total)()
	for _, s := range sets {
		if err := e.Work(ctx, s.images, shard.I-1, shard.N); err != nil {
			return fmt.Errorf("features of %s: %w", s.label, err)
		}
	}
	return nil
}
