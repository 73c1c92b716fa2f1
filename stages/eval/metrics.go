package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/metrics"
	"vapo/lib/random"
)

// Names of the metrics that are computed in addition to the Fréchet distance.
const (
	metricInterval  = "interval"
	metricInfinity  = "fid-infinity"
	metricKID       = "kid"
	metricInception = "inception-score"
	metricManifold  = "manifold"
)

var allMetrics = []string{metricInterval, metricInfinity, metricKID, metricInception, metricManifold}

// metricSelection is the parsed value of --metrics.
type metricSelection struct {
	names []string
	all   bool // skip metrics that cannot be computed, with a warning; otherwise they are an error
}

func parseMetrics(text string) (metricSelection, error) {
	switch text {
	case "all":
		return metricSelection{allMetrics, true}, nil
	case "none":
		return metricSelection{}, nil
	}
	var m metricSelection
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		if !slices.Contains(allMetrics, name) {
			return m, fmt.Errorf("metrics is %q; it must be all, none, or a list of %s", text, strings.Join(allMetrics, ", "))
		}
		m.names = append(m.names, name)
	}
	return m, nil
}

// logits reports whether the network must compute logits, and whether a network without logits is acceptable. At
// Inception's last layer (tap 2048), logits cost almost nothing and are always computed, so that the cached features
// serve every selection of metrics. At an earlier layer, logits require running the rest of the network.
func (m metricSelection) logits(tap int) (needed, optional bool) {
	required := !m.all && slices.Contains(m.names, metricInception)
	return required || tap == 2048, !required
}

// furtherMetrics holds the results of the selected metrics. A metric that was not computed is nil.
type furtherMetrics struct {
	Interval  *intervalScore                `json:"interval,omitempty"`
	Infinity  *metrics.InfinityResult       `json:"fid_infinity,omitempty"`
	KID       *metrics.KIDResult            `json:"kid,omitempty"`
	Inception *metrics.InceptionScoreResult `json:"inception_score,omitempty"`
	Manifold  *manifoldScore                `json:"manifold,omitempty"`
}

// intervalScore is a confidence interval of the distance from a delete-a-group jackknife over the samples. The
// reference is treated as fixed.
type intervalScore struct {
	Low           float64 `json:"low"`
	High          float64 `json:"high"`
	Level         float64 `json:"level"`
	StandardError float64 `json:"standard_error"`
	Groups        int     `json:"groups"`
}

type manifoldScore struct {
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	Density   float64 `json:"density"`
	Coverage  float64 `json:"coverage"`
	K         int     `json:"k"`
	N         []int   `json:"n"` // numbers of samples and of reference images
}

// Settings that are usual in the literature.
const (
	jackknifeGroups = 10
	minImages       = 30 // minimum number of samples for an interval or an extrapolation
	inceptionSplits = 10
	manifoldK       = 3
	// maxManifold limits the number of images on each side, because the time grows with the square of that number. A
	// larger set is randomly subsampled.
	maxManifold = 10000
)

// unavailable returns the reason why a metric cannot be computed, or "" if it can.
func (c *scorer) unavailable(name string, samples, reference *imageSet) string {
	onlyMoments := func(s *imageSet) bool { return s.images == nil && s.features.Width == 0 }
	switch {
	case c.inPixels():
		return "pixels are compared, without a feature network"
	case onlyMoments(samples):
		return samples.label + " holds moments only"
	case (name == metricInterval || name == metricInfinity) && samples.n() < minImages:
		return fmt.Sprintf("%s holds %d images, and it takes %d", samples.label, samples.n(), minImages)
	case (name == metricKID || name == metricManifold) && onlyMoments(reference):
		return reference.label + " holds moments only"
	case name == metricManifold && min(samples.n(), reference.n()) <= manifoldK:
		return fmt.Sprintf("it takes more than %d images on each side", manifoldK)
	case name != metricInception || c.score.Tap == feature.LogitsTap:
	case samples.images != nil && c.extractor.Network.Classes == 0, samples.images == nil && samples.logits.Width == 0:
		return "the features come without the logits of the last layer"
	}
	return ""
}

// measure computes the selected metrics of samples whose features are known. It skips metrics that cannot be computed
// and adds one warning that lists them.
func (c *scorer) measure(ctx context.Context, samples, reference *imageSet) error {
	var skipped []string
	for _, name := range c.metrics.names {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if why := c.unavailable(name, samples, reference); why != "" {
			skipped = append(skipped, name+" ("+why+")")
			continue
		}
		warnings, err := c.compute(name, samples, reference)
		if err != nil {
			return failure.New(failure.Numeric, "", "%w", err)
		}
		c.score.Warnings = append(c.score.Warnings, warnings...)
	}
	if len(skipped) > 0 {
		c.score.warn("not measured: %s", strings.Join(skipped, ", "))
	}
	return nil
}

func (c *scorer) compute(name string, samples, reference *imageSet) (warnings []string, err error) {
	s, x := c.score, samples.features
	switch name {
	case metricInterval:
		r, err := metrics.Jackknife(x.Data, reference.moments, x.Width, jackknifeGroups)
		s.Interval = &intervalScore{r.Low, r.High, 0.95, r.StdErr, r.Groups}
		return r.Warnings, err
	case metricInfinity:
		r, err := metrics.FrechetInfinity(x.Data, reference.moments, x.Width, metrics.InfinityOptions{Seed: c.seed})
		s.Infinity = &r
		return r.Warnings, err
	case metricKID:
		r, err := metrics.KID(x.Data, reference.features.Data, x.Width, metrics.KIDOptions{Seed: c.seed})
		s.KID = &r
		return r.Warnings, err
	case metricInception:
		logits := c.logits(samples)
		// The rows are shuffled because files in a folder are sorted by name, and thus perhaps by class. A split should not
		// consist of a single class.
		rows := shuffle(logits, c.seed, "eval/inception-score")
		r, err := metrics.InceptionScore(rows, logits.Width, min(inceptionSplits, samples.n()))
		s.Inception = &r
		return r.Warnings, err
	case metricManifold:
		generated, real := c.subsample(x, "samples"), c.subsample(reference.features, "reference")
		r, err := metrics.Manifold(real, generated, x.Width, manifoldK)
		s.Manifold = &manifoldScore{r.Precision, r.Recall, r.Density, r.Coverage, r.K, []int{r.NFake, r.NReal}}
		return r.Warnings, err
	}
	panic("no such metric: " + name)
}

// logits returns the logits of a set, if it has any. If the tap is the logits, they are the features themselves.
func (c *scorer) logits(s *imageSet) feature.Matrix {
	if s.logits.Width == 0 && c.score.Tap == feature.LogitsTap {
		return s.features
	}
	return s.logits
}

// subsample draws at most maxManifold rows without replacement.
func (c *scorer) subsample(m feature.Matrix, stream string) []float32 {
	if m.Len() <= maxManifold {
		return m.Data
	}
	return shuffle(m, c.seed, "eval/manifold/"+stream)[:maxManifold*m.Width]
}

// shuffle returns the rows in a random order.
func shuffle(m feature.Matrix, seed uint64, stream string) []float32 {
	out := make([]float32, 0, len(m.Data))
	for _, i := range random.New(seed, stream, 0).Perm(m.Len()) {
		out = append(out, m.Data[i*m.Width:(i+1)*m.Width]...)
	}
	return out
}
