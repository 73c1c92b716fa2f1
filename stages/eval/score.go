package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/metrics"
	"vapo/lib/npz"
	"vapo/lib/stage"
)

// score is a distance and the facts needed to interpret it. The stage writes it as its output, and `folders` prints it.
// The pipeline's report gives headline, metric, value, n, reference, features, baselines and warnings a place of their
// own, and lists all other fields by name.
type score struct {
	Headline  string             `json:"headline,omitempty"` // absent in `folders`
	FID       *float64           `json:"fid,omitempty"`      // only in `folders`: the value, if it is an FID
	Metric    string             `json:"metric"`
	Value     float64            `json:"value"`
	N         []int              `json:"n"`                   // samples, reference images; 0 for published moments
	A         string             `json:"a,omitempty"`         // only in `folders`
	B         string             `json:"b,omitempty"`         // only in `folders`
	Shape     []int              `json:"shape,omitempty"`     // only in `folders`: [C, H, W] if all images have one shape
	Reference string             `json:"reference,omitempty"` // data set and split; absent in `folders`
	Network   string             `json:"features,omitempty"`  // feature network and the digest of its weights
	Tap       int                `json:"tap,omitempty"`       // layer of Inception
	Resize    string             `json:"resize,omitempty"`    // resize convention of Inception
	Weights   string             `json:"weights_sha256,omitempty"`
	Backend   string             `json:"backend,omitempty"`  // only in `folders`; otherwise in the manifest
	Baselines map[string]float64 `json:"baselines,omitzero"` // absent in `folders`
	Warnings  []string           `json:"warnings"`

	MeanTerm float64 `json:"mean_term,omitempty"` // a term of the Fréchet distance, like CovTerm
	CovTerm  float64 `json:"covariance_term,omitempty"`
	furtherMetrics

	MMD         *mmdScore     `json:"mmd,omitempty"`                        // only for points
	Ratio       float64       `json:"ratio_to_data_against_data,omitempty"` // only for points
	Pairs       int           `json:"pairs,omitempty"`
	Projections int           `json:"projections,omitempty"`
	Nearest     *nearestScore `json:"nearest_training_image,omitempty"`
	OOD         *oodScore     `json:"ood,omitempty"`
	Paths       *pathScore    `json:"interpolation,omitempty"`
}

func (s *score) warn(format string, args ...any) {
	s.Warnings = append(s.Warnings, fmt.Sprintf(format, args...))
}

// scorer scores sets of images by the Fréchet distance of their features. The features are computed by a network;
// without a network, the sets themselves must contain features. If the sets contain images and there is no network, the
// scorer computes the sliced distance of pixels instead.
type scorer struct {
	extractor   *feature.Extractor // nil if there is no network
	metrics     metricSelection
	projections int // directions of the sliced distance
	seed        uint64
	score       *score
}

func newScorer(m metricSelection, projections int, seed uint64) *scorer {
	s := &score{Metric: "sliced 2-Wasserstein distance of pixels (0 to 255)"}
	return &scorer{metrics: m, projections: projections, seed: seed, score: s}
}

// use makes the scorer compute features with e.
func (c *scorer) use(e *feature.Extractor) {
	c.extractor = e
	c.describe(e.Metric(), e.Network.Name, e.Weights)
}

// describe records in the score which features are compared. It warns about Inception weights that are not the
// published file.
func (c *scorer) describe(metric, network, digest string) {
	s := c.score
	s.Metric, s.Network = metric, network+" "+digest
	s.Weights = strings.TrimPrefix(digest, "sha256:")
	tap, resize, ok := feature.ParseInception(network)
	if !ok {
		return
	}
	s.Metric, s.Tap, s.Resize = feature.FIDMetric, tap, string(resize)
	if s.Weights != feature.PublishedDigest {
		s.warn("the weights are not the published file (%s): say which they are beside the number", feature.PublishedWeights)
	}
}

func (c *scorer) inception() bool { return c.extractor != nil && c.extractor.Inception() }

// inPixels reports whether pixels are compared instead of features.
func (c *scorer) inPixels() bool { return c.score.Network == "" }

const oneNetwork = "features can only be compared with features of the same network, layer and resize convention"

// choose decides whether a file with both moments and images is used for its moments or its images. Moments need no
// computation, and published scores are based on them. Images are used if the network has another dimension, or if the
// other set or a requested metric needs them.
func (c *scorer) choose(samples, reference *imageSet) error {
	for _, s := range []*imageSet{samples, reference} {
		needed, other := []string{metricKID, metricManifold}, samples
		if s == samples {
			needed, other = allMetrics, reference
		}
		asked := func(name string) bool { return !c.metrics.all && slices.Contains(needed, name) }
		var images bool
		if c.extractor == nil {
			images = other.images != nil
		} else {
			images = s.moments != nil && s.moments.Dim() != c.extractor.Network.Dim ||
				slices.ContainsFunc(c.metrics.names, asked)
		}
		if s.archive != "" && images {
			if err := s.useImages(); err != nil {
				return err
			}
		}
	}
	return nil
}

// check verifies, before any expensive computation, that all sets can be compared and that the selected metrics can be
// computed. The first two sets are the samples and the reference. Without a network, check also decides whether
// features or pixels are compared.
func (c *scorer) check(sets ...*imageSet) error {
	a, b := sets[0], sets[1]
	if c.extractor == nil && (a.images == nil || b.images == nil) {
		if err := c.useStored(sets); err != nil {
			return err
		}
	}
	for _, s := range sets {
		if err := c.checkFeatures(s); err != nil {
			return err
		}
		if !c.inception() && a.loaded != nil && s.loaded != nil && !slices.Equal(a.loaded.Shape(), s.loaded.Shape()) {
			return shapeMismatch(a.label, a.loaded, s.label, s.loaded)
		}
	}
	for _, name := range c.metrics.names {
		if why := c.unavailable(name, a, b); why != "" && !c.metrics.all {
			return unmeasurable(name, why)
		}
	}
	return nil
}

// unmeasurable is the error for a metric that is selected by name and cannot be computed.
func unmeasurable(name, why string) error {
	return failure.New(failure.Input, "leave it out of --metrics", "%s cannot be measured: %s", name, why)
}

// useStored makes the scorer compare the features that the sets contain. It returns an error if the files show that two
// different networks computed the features.
func (c *scorer) useStored(sets []*imageSet) error {
	a, b := sets[0], sets[1]
	for _, s := range sets {
		if s.images != nil {
			return failure.New(failure.Input,
				"name a feature network: --weights or --features in eval folders, input features otherwise",
				"%s holds images, but the other set holds features", s.label)
		}
	}
	if a.network != "" && b.network != "" && (a.network != b.network || a.weights != b.weights) {
		return failure.New(failure.Input, oneNetwork, "%s holds features of %s %s, but %s holds those of %s %s",
			a.label, a.network, a.weights, b.label, b.network, b.weights)
	}
	if a.dim() != b.dim() {
		return failure.New(failure.Input, oneNetwork, "%s holds features of %d dimensions, but %s of %d",
			a.label, a.dim(), b.label, b.dim())
	}
	c.score.Metric, c.score.Network = "Fréchet distance of features", "features in the files"
	if a.network != "" {
		c.describe(c.score.Metric, a.network, a.weights)
	} else if b.network != "" {
		c.describe(c.score.Metric, b.network, b.weights)
	}
	return nil
}

// checkFeatures returns an error if a set contains features of a network other than the scorer's.
func (c *scorer) checkFeatures(s *imageSet) error {
	if c.extractor == nil || s.images != nil {
		return nil
	}
	net := c.extractor.Network
	if s.dim() != net.Dim {
		return failure.New(failure.Input, oneNetwork, "%s holds features of %d dimensions, expected the %d of %s",
			s.label, s.dim(), net.Dim, net.Name)
	}
	if s.network != "" && (s.network != net.Name || s.weights != c.extractor.Weights) {
		return failure.New(failure.Input, oneNetwork, "%s holds features of %s %s, expected those of %s",
			s.label, s.network, s.weights, c.extractor.Description())
	}
	return nil
}

// sets returns the sets whose features a score needs.
func (c *scorer) sets(samples, reference *imageSet, baselines []baseline) (list []*imageSet) {
	for _, b := range append([]baseline{{set: samples}, {set: reference}}, baselines...) {
		if b.set.images != nil {
			list = append(list, b.set)
		}
	}
	return list
}

// run computes the score: the distance of samples from the reference, the selected metrics, and the distances of the
// baselines.
func (c *scorer) run(ctx context.Context, samples, reference *imageSet, baselines []baseline,
	start func(total int64, unit string) *stage.Progress) (*score, error) {
	if c.extractor != nil {
		total := 0
		for _, s := range c.sets(samples, reference, baselines) {
			total += s.images.Len()
		}
		defer watch(c.extractor, start(int64(total), "images"), total)()
	}
	s := c.score
	s.N = []int{samples.n(), reference.n()}
	d, err := c.distance(ctx, samples, reference)
	if err != nil {
		return nil, err
	}
	s.Value, s.MeanTerm, s.CovTerm = d.Value, d.MeanTerm, d.CovTerm
	s.Warnings = append(s.Warnings, d.Warnings...)
	if c.inPixels() {
		s.warn(noNetwork)
	} else if err := c.measure(ctx, samples, reference); err != nil {
		return nil, err
	}
	for _, b := range baselines {
		d, err := c.distance(ctx, b.set, reference)
		if err != nil {
			return nil, err
		}
		s.Baselines[b.name] = d.Value
	}
	s.Warnings = unique(s.Warnings)
	return s, nil
}

// noNetwork is the warning in a score that compares pixels.
const noNetwork = "no feature network: distances of pixels say little about what images show"

// distance returns the Fréchet distance of features, or the sliced distance of pixels.
func (c *scorer) distance(ctx context.Context, a, b *imageSet) (metrics.Frechet, error) {
	if c.inPixels() {
		size := a.loaded.C * a.loaded.H * a.loaded.W
		w, err := metrics.SlicedW2(pixels(a.loaded), pixels(b.loaded), size, c.projections, c.seed)
		if err == nil {
			err = context.Cause(ctx)
		}
		return metrics.Frechet{Value: w}, err
	}
	// The features of the reference b are often cached. With them first, seconds_left counts what is left to compute.
	for _, s := range []*imageSet{b, a} {
		if err := s.extract(ctx, c.extractor); err != nil {
			return metrics.Frechet{}, err
		}
	}
	d, err := metrics.FrechetDistance(a.moments, b.moments)
	if err != nil {
		return d, failure.New(failure.Numeric, "", "%w", err)
	}
	for _, s := range []*imageSet{a, b} {
		if c.extractor != nil && s.backend != "" && s.backend != c.extractor.Backend {
			d.Warnings = append(d.Warnings, fmt.Sprintf("the features of %s were computed by %s, others here by %s",
				s.label, s.backend, c.extractor.Backend))
		}
	}
	return d, nil
}

// watch reports the progress of an extractor that processes total images. The caller calls done at the end.
func watch(e *feature.Extractor, progress *stage.Progress, total int) (done func()) {
	began := time.Now()
	seen, cached := 0, 0
	e.Progress = func(n int, fromCache bool) {
		seen += n
		if fromCache {
			cached += n
		}
		fields := []any{"images_per_s", 0.0, "from_cache", cached}
		if computed := seen - cached; computed > 0 {
			rate := float64(computed) / time.Since(began).Seconds()
			fields[1] = math.Round(10*rate) / 10
			fields = append(fields, "seconds_left", math.Round(float64(total-seen)/rate))
		}
		progress.Set(int64(seen), fields...)
	}
	return progress.Done
}

// pixels returns the images as vectors [n, c·h·w] with values 0 to 255.
func pixels(s *dataset.Images) []float32 {
	out := make([]float32, len(s.Pixels))
	for i, v := range s.Pixels {
		out[i] = float32(v)
	}
	return out
}

// writeMoments writes mu and sigma to an .npz, the format in which FID tools exchange moments.
func writeMoments(w io.Writer, m *metrics.Moments) error {
	return npz.WriteStatistics(w, m.Mean(), m.Cov())
}

// unique drops repeated warnings: several metrics may warn about the same problem.
func unique(warnings []string) []string {
	out := []string{}
	for _, w := range warnings {
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}
