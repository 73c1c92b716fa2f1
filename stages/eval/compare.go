package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"vapo/lib/backend"
	"vapo/lib/dataset"
	"vapo/lib/engine"
	"vapo/lib/feature"
	"vapo/lib/metrics"
	"vapo/lib/stage"
)

// A comparer measures the distance between two sets of images in one way.
type comparer struct {
	metric   string
	features string // network and digest; empty where there is none
	engine   backend.Backend
	net      feature.Network
	// of the sliced distance, where there is no network
	projections int
	seed        uint64
	done        func(images int) // progress
	warnings    []string         // about the network
	memo        map[*dataset.Images]*metrics.Moments
}

// newComparer uses the feature network at path, or compares pixels if path is "".
func newComparer(name engine.Name, path, digest string, o feature.Options, projections int, seed uint64) (*comparer, error) {
	c := &comparer{projections: projections, seed: seed, done: func(int) {}, memo: map[*dataset.Images]*metrics.Moments{}}
	if path == "" {
		c.metric = "sliced 2-Wasserstein distance of pixels (0 to 255)"
		return c, nil
	}
	var err error
	if c.engine, err = engine.Open(name); err != nil {
		return nil, fmt.Errorf("feature network: %w", err)
	}
	if c.net, err = feature.Open(c.engine, path, o); err != nil {
		if e := engine.Explain(err); e != err {
			return nil, fmt.Errorf("feature network: %w", e)
		}
		hint := "features are a checkpoint that train --model classifier wrote, or Inception's weights as a PyTorch file"
		var missing *feature.MissingLayersError
		if errors.As(err, &missing) {
			hint = "choose another --tap, or get the whole file, " + feature.PublishedWeights
		}
		return nil, stage.Fail(stage.ExitInput, hint, "feature network: %w", err)
	}
	c.metric = "Fréchet distance of classifier features"
	if _, ok := c.net.(*feature.InceptionNetwork); ok {
		c.metric = fidMetric
		if digest != "sha256:"+feature.PublishedDigest {
			c.warnings = append(c.warnings, "the weights are not the published file ("+feature.PublishedWeights+"): say which they are beside the number")
		}
	}
	c.features = c.net.Name() + " " + digest
	return c, nil
}

// fidMetric is what the distance of Inception's features is called.
const fidMetric = "Fréchet Inception distance (FID)"

// A distance between two sets.
type distance struct {
	value             float64
	meanTerm, covTerm float64
	warnings          []string
}

func (c *comparer) distance(ctx context.Context, a, b *dataset.Images) (distance, error) {
	if c.net == nil {
		w, err := metrics.SlicedW2(pixels(a), pixels(b), a.C*a.H*a.W, c.projections, c.seed)
		if err != nil {
			return distance{}, err
		}
		return distance{value: w}, context.Cause(ctx)
	}
	ma, err := c.moments(ctx, a)
	if err != nil {
		return distance{}, err
	}
	mb, err := c.moments(ctx, b)
	if err != nil {
		return distance{}, err
	}
	return c.between(ma, mb)
}

// between is the distance of two sets by their moments.
func (c *comparer) between(ma, mb *metrics.Moments) (distance, error) {
	f, err := metrics.FrechetDistance(ma, mb)
	if err != nil {
		return distance{}, stage.Fail(stage.ExitNumeric, "", "%w", err)
	}
	return distance{value: f.Value, meanTerm: f.MeanTerm, covTerm: f.CovTerm, warnings: slices.Concat(c.warnings, f.Warnings)}, nil
}

// shard is how many images' features are held at once. Moments are added up shard by shard, so it is part of the result.
const shard = 1024

// moments of the features of a set, computed once for each set.
func (c *comparer) moments(ctx context.Context, set *dataset.Images) (*metrics.Moments, error) {
	if m := c.memo[set]; m != nil {
		return m, nil
	}
	m, err := c.addUp(ctx, set.N, func(from, to int, rows []float64) error {
		if err := c.net.Features(set, from, to, rows); err != nil {
			return stage.Fail(stage.ExitInput, "the network must have been trained on images of this size", "features: %w", err)
		}
		return nil
	})
	if err == nil {
		c.memo[set] = m
	}
	return m, err
}

// addUp adds up the features of n images, which features writes to rows shard by shard.
func (c *comparer) addUp(ctx context.Context, n int, features func(from, to int, rows []float64) error) (*metrics.Moments, error) {
	m := metrics.NewMoments(c.net.Dim())
	out := make([]float64, shard*c.net.Dim())
	rows := make([]float64, 0, shard*c.net.Dim())
	for from := 0; from < n; from += shard {
		rows = rows[:0]
		for at := from; at < min(from+shard, n); at += slice { // a slice a time, for the progress and for signals
			if err := context.Cause(ctx); err != nil {
				return nil, err
			}
			to := min(at+slice, from+shard, n)
			part := out[:(to-at)*c.net.Dim()]
			if err := features(at, to, part); err != nil {
				return nil, err
			}
			rows = append(rows, part...)
			c.done(to - at)
		}
		if err := m.Add(rows); err != nil {
			return nil, stage.Fail(stage.ExitNumeric, "the feature network's weights may be damaged", "features of images %d to %d: %w", from, min(from+shard, n), err)
		}
	}
	return m, nil
}

// slice is how many images' features are computed between two looks at the clock; it does not show in a result.
const slice = 64

// pixels are the images as vectors, [n, c·h·w], 0 to 255.
func pixels(s *dataset.Images) []float32 {
	out := make([]float32, len(s.Pixels))
	for i, v := range s.Pixels {
		out[i] = float32(v)
	}
	return out
}

// noNetwork is the warning of a score without features.
const noNetwork = "no feature network: distances of pixels say little about what images show"
