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

// Names of what is measured beside the Fréchet distance.
const (
	measureInterval  = "interval"
	measureInfinity  = "fid-infinity"
	measureKID       = "kid"
	measureInception = "inception-score"
	measureManifold  = "manifold"
)

var measures = []string{measureInterval, measureInfinity, measureKID, measureInception, measureManifold}

// wanted is what a person asked to measure.
type wanted struct {
	names []string
	all   bool // as much as can be
}

func parseMeasures(text string) (wanted, error) {
	switch text {
	case "all":
		return wanted{measures, true}, nil
	case "none":
		return wanted{}, nil
	}
	var w wanted
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		if !slices.Contains(measures, name) {
			return wanted{}, fmt.Errorf("metrics is %q; it must be all, none, or a list of %s", text, strings.Join(measures, ", "))
		}
		w.names = append(w.names, name)
	}
	return w, nil
}

func (w wanted) has(name string) bool { return slices.Contains(w.names, name) }

// logits reports whether the network's logits are wanted too, and whether it may have none. Beside the features of
// Inception's last layer they cost nothing and are always taken, so that these are found again whatever is measured;
// beside those of an earlier one they cost the rest of the network.
func (w wanted) logits(tap int) (want, optional bool) {
	asked := w.has(measureInception) && !w.all
	return asked || tap == 2048, !asked
}

// numbers are measured beside the Fréchet distance. What could not be is absent.
type numbers struct {
	Interval  *intervalScore  `json:"interval,omitempty"`
	Infinity  *infinityScore  `json:"fid_infinity,omitempty"`
	KID       *kidScore       `json:"kid,omitempty"`
	Inception *inceptionScore `json:"inception_score,omitempty"`
	Manifold  *manifoldScore  `json:"manifold,omitempty"`
}

// intervalScore is a delete-a-group jackknife over the samples, the reference being what it is.
type intervalScore struct {
	Low           float64 `json:"low"`
	High          float64 `json:"high"`
	Level         float64 `json:"level"`
	StandardError float64 `json:"standard_error"`
	Groups        int     `json:"groups"`
}

// infinityScore is the distance extrapolated to infinitely many samples.
type infinityScore struct {
	Value    float64 `json:"value"`
	Slope    float64 `json:"slope"` // of the distance over 1/N
	Residual float64 `json:"residual"`
	Sizes    []int   `json:"sizes"`
}

type kidScore struct {
	Mean    float64 `json:"mean"`
	Std     float64 `json:"std"` // over subsets
	Subsets int     `json:"subsets"`
	Size    int     `json:"size"`
}

type inceptionScore struct {
	Mean   float64 `json:"mean"`
	Std    float64 `json:"std"` // over splits
	Splits int     `json:"splits"`
}

type manifoldScore struct {
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	Density   float64 `json:"density"`
	Coverage  float64 `json:"coverage"`
	K         int     `json:"k"`
	N         []int   `json:"n"` // samples, reference
}

// Settings that the field has agreed on.
const (
	jackknifeGroups = 10
	fewest          = 30 // images that an interval or an extrapolation is taken of
	kidSubsets      = 100
	kidSize         = 1000
	inceptionSplits = 10
	manifoldK       = 3
	// manifoldLimit bounds the time, which grows with the square of N. A larger side is thinned to so many, at random.
	manifoldLimit = 10000
)

// measurable returns an error if a number was asked for by its name that cannot be had, before anything is computed.
func (c *comparer) measurable(w wanted, samples, reference *side) error {
	if w.all {
		return nil
	}
	for _, name := range w.names {
		if why := c.obstacle(name, samples, reference); why != "" {
			return failure.New(failure.Input, "leave it out of --metrics", "%s cannot be measured: %s", name, why)
		}
	}
	return nil
}

// obstacle is why a number cannot be had, or "".
func (c *comparer) obstacle(name string, samples, reference *side) string {
	moments := func(s *side) bool { return s.images == nil && s.features == nil }
	switch {
	case c.inPixels():
		return "pixels are compared, without a feature network"
	case moments(samples):
		return samples.label + " holds moments only"
	case (name == measureInterval || name == measureInfinity) && samples.n() < fewest:
		return fmt.Sprintf("%s holds %d images, and it takes %d", samples.label, samples.n(), fewest)
	case (name == measureKID || name == measureManifold) && moments(reference):
		return reference.label + " holds moments only"
	case name == measureManifold && min(samples.n(), reference.n()) <= manifoldK:
		return fmt.Sprintf("it takes more than %d images on each side", manifoldK)
	case name == measureInception && samples.images != nil && c.extract.Network.Classes() == 0 && c.tap != feature.LogitsTap,
		name == measureInception && samples.images == nil && c.logitsOf(samples) == nil:
		return "the features come without the logits of the last layer"
	}
	return ""
}

// measure takes the wanted numbers of samples against reference, whose features and moments are known. What cannot be had
// is a warning.
func (c *comparer) measure(ctx context.Context, w wanted, samples, reference *side) (n numbers, warnings []string, err error) {
	var absent []string
	for _, name := range w.names {
		if err := context.Cause(ctx); err != nil {
			return n, nil, err
		}
		if why := c.obstacle(name, samples, reference); why != "" {
			absent = append(absent, name+" ("+why+")")
			continue
		}
		more, err := c.take(&n, name, samples, reference)
		if err != nil {
			return n, nil, failure.New(failure.Numeric, "", "%w", err)
		}
		warnings = append(warnings, more...)
	}
	if len(absent) > 0 {
		warnings = append(warnings, "not measured: "+strings.Join(absent, ", "))
	}
	return n, warnings, nil
}

// take takes one number.
func (c *comparer) take(n *numbers, name string, samples, reference *side) (warnings []string, err error) {
	switch name {
	case measureInterval:
		r, err := metrics.Jackknife(samples.features, reference.moments, samples.dim, jackknifeGroups)
		n.Interval = &intervalScore{r.Low, r.High, 0.95, r.StdErr, r.Groups}
		return r.Warnings, err
	case measureInfinity:
		r, err := metrics.FrechetInfinity(samples.features, reference.moments, samples.dim, metrics.InfinityOptions{Seed: c.seed})
		n.Infinity = &infinityScore{r.Value, r.Slope, r.Residual, r.Sizes}
		return r.Warnings, err
	case measureKID:
		r, err := metrics.KID(samples.features, reference.features, samples.dim, metrics.KIDOptions{Subsets: kidSubsets, Size: kidSize, Seed: c.seed})
		n.KID = &kidScore{r.Mean, r.Std, r.Subsets, r.Size}
		return r.Warnings, err
	case measureInception:
		logits := c.logitsOf(samples)
		// Splits are of images drawn at random: a folder is in the order of names, which may be that of classes.
		r, err := metrics.InceptionScore(c.shuffled(logits, "eval/inception-score"), logits.Width, min(inceptionSplits, samples.n()))
		n.Inception = &inceptionScore{r.Mean, r.Std, r.Splits}
		return r.Warnings, err
	case measureManifold:
		fake, real := c.thin(samples, "samples"), c.thin(reference, "reference")
		r, err := metrics.Manifold(real, fake, samples.dim, manifoldK)
		n.Manifold = &manifoldScore{r.Precision, r.Recall, r.Density, r.Coverage, r.K, []int{r.NFake, r.NReal}}
		return r.Warnings, err
	}
	panic("no such measure: " + name)
}

// logitsOf is nil where a side has none. At their own tap the features are the logits.
func (c *comparer) logitsOf(s *side) *feature.Matrix {
	switch {
	case s.logits != nil:
		return &feature.Matrix{Width: s.classes, Data: s.logits}
	case c.tap == feature.LogitsTap && s.features != nil:
		return &feature.Matrix{Width: s.dim, Data: s.features}
	}
	return nil
}

// thin is at most manifoldLimit of a side's features, drawn without replacement.
func (c *comparer) thin(s *side, name string) []float32 {
	if s.n() <= manifoldLimit {
		return s.features
	}
	return c.shuffled(&feature.Matrix{Width: s.dim, Data: s.features}, "eval/manifold/"+name)[:manifoldLimit*s.dim]
}

// shuffled are the rows in a random order.
func (c *comparer) shuffled(m *feature.Matrix, stream string) []float32 {
	out := make([]float32, 0, len(m.Data))
	for _, i := range random.New(c.seed, stream, 0).Perm(len(m.Data) / m.Width) {
		out = append(out, m.Data[i*m.Width:(i+1)*m.Width]...)
	}
	return out
}

// unique drops what a list says again: several numbers have one reason to be doubted.
func unique(warnings []string) []string {
	out := []string{}
	for _, w := range warnings {
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}
