package main

import (
	"context"
	"fmt"
	"strings"

	"vapo/lib/backend"
	"vapo/lib/dataset"
	"vapo/lib/engine"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/metrics"
	"vapo/lib/scoring"
	"vapo/lib/stage"
)

// A comparer measures the distance between two sides in one way: in the features of a network, or, without one, in those
// that both sides bring with them, or in pixels.
type comparer struct {
	metric   string
	features string // network and digest; empty where pixels are compared
	tap      int    // of Inception
	resize   string
	weights  string // sha256 of the network's file, in hexadecimal
	engine   backend.Backend
	extract  feature.Extractor // with no network: none
	// of the sliced distance, where there are no features
	projections int
	seed        uint64
	warnings    []string // about the network
}

// A network says which features to compare.
type network struct {
	path, digest string // of its file; "" is none
	options      feature.Options
	optional     bool // the logits may be missing
	engine       engine.Name
}

// newComparer opens the network, if one is named.
func newComparer(w network, projections int, seed uint64) (*comparer, error) {
	c := &comparer{projections: projections, seed: seed}
	if w.path == "" {
		c.metric = "sliced 2-Wasserstein distance of pixels (0 to 255)"
		return c, nil
	}
	var err error
	if c.engine, err = engine.Open(w.engine); err != nil {
		return nil, fmt.Errorf("feature network: %w", err)
	}
	net, err := scoring.Open(c.engine, w.path, w.digest, w.options, w.optional)
	if err != nil {
		return nil, err
	}
	c.extract, c.metric = net.Extractor, net.Metric()
	c.describe(net.Network.Name(), w.digest)
	return c, nil
}

// describe notes which network the features are of.
func (c *comparer) describe(network, digest string) {
	c.features = network + " " + digest
	c.weights = strings.TrimPrefix(digest, "sha256:")
	tap, resize, ok := feature.ParseInception(network)
	if !ok {
		return
	}
	c.metric, c.tap, c.resize = scoring.FIDMetric, tap, string(resize)
	if feature.Published[c.weights] == "" {
		c.warnings = append(c.warnings, "the weights are not the published file ("+feature.PublishedWeights+"): say which they are beside the number")
	}
}

// inception reports whether the features are Inception's, which cost enough to be kept.
func (c *comparer) inception() bool { return scoring.Inception(c.extract.Network) }

// keep makes the features of Inception be kept.
func (c *comparer) keep(parts stage.Parts) {
	if c.inception() && parts != nil {
		c.extract.Keep = parts
	}
}

// inPixels reports whether sides are compared by their pixels.
func (c *comparer) inPixels() bool { return c.extract.Network == nil && c.features == "" }

// adopt makes a comparer without a network one of the features that the sides bring with them, unless both are of images,
// whose pixels are then compared.
func (c *comparer) adopt(a, b *side) error {
	if c.extract.Network != nil || a.images != nil && b.images != nil {
		return nil
	}
	for _, s := range []*side{a, b} {
		if err := c.fits(s); err != nil {
			return err
		}
	}
	if a.network != "" && b.network != "" && (a.network != b.network || a.weights != b.weights) {
		return failure.New(failure.Input, oneNetwork, "%s holds features of %s %s, %s those of %s %s", a.label, a.network, a.weights, b.label, b.network, b.weights)
	}
	c.metric, c.features = "Fréchet distance of features", "features in the files"
	for _, s := range []*side{a, b} {
		if s.network != "" {
			c.describe(s.network, s.weights)
			break
		}
	}
	return nil
}

const oneNetwork = "features compare only with features of the same network, layer and resize convention"

// fill computes what a side still lacks: features of images, moments of features.
func (c *comparer) fill(ctx context.Context, s *side) error {
	if err := c.fits(s); err != nil {
		return err
	}
	if s.features == nil && s.moments == nil {
		rows, err := c.extract.Rows(ctx, s.images)
		if err != nil {
			return scoring.Explain(ctx, s.label, err)
		}
		net := c.extract.Network
		s.dim, s.classes = net.Dim(), net.Classes()
		s.features, s.logits = feature.Split(rows, s.dim, s.classes)
	}
	if s.moments == nil {
		var err error
		if s.moments, err = scoring.MomentsOf(s.features, s.dim, s.label); err != nil {
			return err
		}
	}
	return nil
}

// fits returns an error where a side's features are of another network than the comparer's.
func (c *comparer) fits(s *side) error {
	net := c.extract.Network
	switch {
	case net == nil && s.images != nil:
		return failure.New(failure.Input, "name a feature network", "%s holds images, and the other side features", s.label)
	case net == nil || s.images != nil:
		return nil
	case s.dim != net.Dim():
		return failure.New(failure.Input, oneNetwork, "%s holds features of %d dimensions, expected %d of %s", s.label, s.dim, net.Dim(), net.Name())
	case s.network != "" && (s.network != net.Name() || s.weights != c.extract.Weights):
		return failure.New(failure.Input, oneNetwork, "%s holds features of %s %s, expected those of %s", s.label, s.network, s.weights, c.features)
	}
	return nil
}

// A distance between two sides.
type distance struct {
	value             float64
	meanTerm, covTerm float64
	warnings          []string
}

func (c *comparer) distance(ctx context.Context, a, b *side) (distance, error) {
	if c.inPixels() {
		return c.sliced(ctx, a.set, b.set)
	}
	for _, s := range []*side{a, b} {
		if err := c.fill(ctx, s); err != nil {
			return distance{}, err
		}
	}
	if a.dim != b.dim {
		return distance{}, failure.New(failure.Input, "both must be of one network and layer", "%s holds features of %d dimensions, %s of %d", a.label, a.dim, b.label, b.dim)
	}
	f, err := metrics.FrechetDistance(a.moments, b.moments)
	if err != nil {
		return distance{}, failure.New(failure.Numeric, "", "%w", err)
	}
	out := distance{value: f.Value, meanTerm: f.MeanTerm, covTerm: f.CovTerm, warnings: f.Warnings}
	for _, s := range []*side{a, b} {
		if mine := c.extract.Backend; mine != "" && s.backend != "" && s.backend != mine {
			out.warnings = append(out.warnings, fmt.Sprintf("the features of %s were computed by %s, others here by %s", s.label, s.backend, mine))
		}
	}
	return out, nil
}

func (c *comparer) sliced(ctx context.Context, a, b *dataset.Images) (distance, error) {
	w, err := metrics.SlicedW2(pixels(a), pixels(b), a.C*a.H*a.W, c.projections, c.seed)
	if err != nil {
		return distance{}, err
	}
	return distance{value: w}, context.Cause(ctx)
}

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
