// Package scoring opens a feature network and takes the moments of images in it.
//
// It is what a score of finished samples and one taken in the middle of a training have in common: both must mean the
// same number by the same samples, reference and network.
package scoring

import (
	"context"
	"errors"
	"fmt"

	"vapo/lib/backend"
	"vapo/lib/engine"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/metrics"
)

// What Fréchet distances are called, by the features.
const (
	FIDMetric        = "Fréchet Inception distance (FID)"
	ClassifierMetric = "Fréchet distance of classifier features"
)

// Projections is the usual number of directions of a sliced distance.
const Projections = 128

// Network is a feature network, ready to look at images.
type Network struct{ feature.Extractor }

// Open opens the network in a file (see feature.Open), which has the given digest. Where optional is set, logits that the
// weights do not serve are left out.
func Open(be backend.Backend, path, digest string, o feature.Options, optional bool) (*Network, error) {
	net, err := feature.Open(be, path, o)
	var missing *feature.MissingLayersError
	if optional && errors.As(err, &missing) && missing.Tap == feature.LogitsTap {
		o.Logits = false
		net, err = feature.Open(be, path, o)
	}
	if err != nil {
		if e := engine.Explain(err); e != err {
			return nil, fmt.Errorf("feature network: %w", e)
		}
		hint := "features are a checkpoint that train --model classifier wrote, or Inception's weights"
		if errors.As(err, &missing) {
			hint = "choose another --tap, or get the whole file: eval weights fetch"
		}
		return nil, failure.New(failure.Input, hint, "feature network: %w", err)
	}
	return &Network{feature.Extractor{Network: net, Weights: digest, Backend: be.Class()}}, nil
}

// Inception reports whether features are those in which the FID is defined. They cost enough to be kept.
func Inception(n feature.Network) bool {
	_, ok := n.(*feature.InceptionNetwork)
	return ok
}

// Metric is what the Fréchet distance of the network's features is called.
func (n *Network) Metric() string {
	if Inception(n.Network) {
		return FIDMetric
	}
	return ClassifierMetric
}

// Fits returns an error where the network does not take images such as one, which is called what in it. Inception takes
// all, and is not asked, for it is slow.
func (n *Network) Fits(ctx context.Context, one feature.Images, what string) error {
	if Inception(n.Network) {
		return nil
	}
	if _, err := n.Rows(ctx, one); err != nil {
		return Explain(ctx, what, err)
	}
	return nil
}

// Moments are those of the features of images, which are called what in errors.
func (n *Network) Moments(ctx context.Context, images feature.Images, what string) (*metrics.Moments, error) {
	rows, err := n.Rows(ctx, images)
	if err != nil {
		return nil, Explain(ctx, what, err)
	}
	features, _ := feature.Split(rows, n.Network.Dim(), n.Network.Classes())
	return MomentsOf(features, n.Network.Dim(), what)
}

// MomentsOf are those of features [N, dim], which are called what in errors.
func MomentsOf(features []float32, dim int, what string) (*metrics.Moments, error) {
	m := metrics.NewMoments(dim)
	if err := m.Add(features); err != nil {
		return nil, failure.New(failure.Numeric, "the feature network's weights may be damaged", "features of %s: %w", what, err)
	}
	return m, nil
}

// Explain puts what went wrong with the features of images, called what, into the contract's terms.
func Explain(ctx context.Context, what string, err error) error {
	var coded failure.Carrier
	var kept *feature.KeepError
	switch {
	case errors.As(err, &coded) || ctx.Err() != nil || engine.Explain(err) != err:
		return engine.Explain(err)
	case errors.As(err, &kept):
		return fmt.Errorf("features of %s: %w", what, err)
	}
	return failure.New(failure.Input, "the network must have been made for images of this size", "features of %s: %w", what, err)
}
