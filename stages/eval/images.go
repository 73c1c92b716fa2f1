package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"

	"vapo/lib/dataset"
	"vapo/lib/engine"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/metrics"
	"vapo/lib/npz"
	"vapo/lib/preview"
	"vapo/lib/random"
	"vapo/lib/stage"
	"vapo/lib/tensorfile"
)

// Names of baselines, as reports show them.
const (
	baseGaussian = "per-pixel Gaussian of the reference"
	baseTest     = "floor: test images, as many as samples"
	baseAllTest  = "floor: all test images"
)

// scoreImages is the distance between samples and reference with what else is measured, that of the baselines, and the
// pictures. test may be nil.
func scoreImages(ctx context.Context, job *stage.Job, p *params, samples, reference, test *side) (*score, error) {
	w, err := parseMeasures(p.Metrics)
	if err != nil {
		return nil, err
	}
	net := network{digest: job.Digest("features"), engine: p.Backend, options: feature.Options{Tap: p.Tap, Resize: p.Resize}}
	net.options.Logits, net.optional = w.logits(p.Tap)
	if job.HasInput("features") {
		if net.path, err = job.Input(ctx, "features"); err != nil {
			return nil, err
		}
	}
	c, err := newComparer(net, p.Projections, p.Seed)
	if err != nil {
		return nil, err
	}
	if err := c.adopt(samples, reference); err != nil {
		return nil, err
	}
	if err := c.measurable(w, samples, reference); err != nil {
		return nil, err
	}
	if err := c.sameShape(samples, reference, test); err != nil {
		return nil, err
	}
	parts, err := job.Parts(ctx)
	if err != nil {
		return nil, err
	}
	c.keep(parts)
	list := contenders(p, samples, reference, test)
	if c.engine != nil {
		engine.Record(job, c.engine)
		sides := []*side{reference}
		for _, e := range list {
			sides = append(sides, e.side)
		}
		defer watch(job.Progress, c, sides...)()
	}

	s := &score{
		Metric: c.metric, N: []int{samples.n(), reference.n()}, Reference: reference.name,
		Features: c.features, Tap: c.tap, Resize: c.resize, Weights: c.weights, Baselines: map[string]float64{},
	}
	s.Warnings = append(s.Warnings, c.warnings...)
	if c.inPixels() {
		s.warn(noNetwork)
		s.Projections = p.Projections
	}
	for _, e := range list {
		d, err := c.distance(ctx, e.side, reference)
		if err != nil {
			return nil, err
		}
		if e.name != "" {
			s.Baselines[e.name] = d.value
			continue
		}
		s.Value, s.MeanTerm, s.CovTerm = d.value, d.meanTerm, d.covTerm
		s.Warnings = append(s.Warnings, d.warnings...)
		if c.inPixels() {
			continue
		}
		var warnings []string
		if s.numbers, warnings, err = c.measure(ctx, w, samples, reference); err != nil {
			return nil, err
		}
		s.Warnings = append(s.Warnings, warnings...)
	}
	s.Warnings = unique(s.Warnings)
	s.Headline = imageHeadline(s)
	if err := writeFeatures(ctx, job, p, c, reference); err != nil {
		return nil, err
	}
	return s, pictures(ctx, job, p, s, samples, reference, test)
}

// sameShape returns an error where images differ in shape and the network does not resize them.
func (c *comparer) sameShape(samples, reference, test *side) error {
	if c.inception() || samples.set == nil {
		return nil
	}
	for name, other := range map[string]*side{"reference": reference, "test": test} {
		if other != nil && other.set != nil && !slices.Equal(samples.set.Shape(), other.set.Shape()) {
			return otherShape(name, samples.set, other.set)
		}
	}
	return nil
}

// A contender is compared with the reference; the samples have no name.
type contender struct {
	name string
	side *side
}

// contenders are the samples and the baselines. The floor at the N of the samples is what a perfect sampler would get;
// the one at all of test is what the estimate's bias leaves of it.
func contenders(p *params, samples, reference, test *side) []contender {
	list := []contender{{"", samples}}
	if !p.Baselines {
		return list
	}
	if reference.set != nil {
		list = append(list, contender{baseGaussian, imagesSide("the Gaussian baseline", pixelGaussian(reference.set, samples.n(), p.Seed))})
	}
	if test != nil {
		if test.n() > samples.n() {
			some := pick(test.set, random.New(p.Seed, "eval/test", 0).Perm(test.n())[:samples.n()])
			list = append(list, contender{baseTest, imagesSide("input test", some)})
		}
		list = append(list, contender{baseAllTest, test})
	}
	return list
}

// writeFeatures writes the moments of the reference, as other tools read them, and, if they are to be kept, its features.
func writeFeatures(ctx context.Context, job *stage.Job, p *params, c *comparer, reference *side) error {
	if c.inPixels() {
		if p.KeepFeatures {
			return failure.New(failure.Input, "name a feature network as the input features", "there are no features to keep: pixels are compared")
		}
		return nil
	}
	if err := job.Output(ctx, "statistics", func(w io.Writer) error { return writeMoments(w, reference.moments) }); err != nil {
		return err
	}
	if !p.KeepFeatures || reference.features == nil {
		return nil
	}
	return job.Output(ctx, "features", func(w io.Writer) error {
		rows := reference.features
		t := feature.Table(rows, reference.dim, 0)
		t.Meta[dataset.MetaDataset] = reference.name
		if net := c.extract.Network; net != nil {
			t.Meta[metaNetwork], t.Meta[metaWeights], t.Meta[metaBackend] = net.Name(), c.extract.Weights, c.extract.Backend
		}
		return tensorfile.Write(w, t)
	})
}

// writeMoments writes an .npz of mu and sigma.
func writeMoments(w io.Writer, m *metrics.Moments) error {
	return npz.WriteStatistics(w, m.Mean(), m.Cov())
}

// imageHeadline is the score in one line, with all that makes it a result.
func imageHeadline(s *score) string {
	text := fmt.Sprintf("%s: %.4g for %d samples against the %d images of %s", s.Metric, s.Value, s.N[0], s.N[1], s.Reference)
	if s.N[1] == 0 {
		text = fmt.Sprintf("%s: %.4g for %d samples against %s", s.Metric, s.Value, s.N[0], s.Reference)
	}
	if s.Features != "" {
		text += ", features " + shortDigest(s.Features)
	}
	if v, ok := s.Baselines[baseGaussian]; ok {
		text += fmt.Sprintf("; per-pixel Gaussian %.4g", v)
	}
	for _, name := range []string{baseTest, baseAllTest} {
		if v, ok := s.Baselines[name]; ok {
			return text + fmt.Sprintf(", test images %.4g", v)
		}
	}
	return text
}

// pictures writes the grid of real images and the panel of nearest neighbours, and what the neighbours tell, where the
// reference is of images.
func pictures(ctx context.Context, job *stage.Job, p *params, s *score, sampled, against, test *side) error {
	samples, reference := sampled.set, against.set
	if reference == nil {
		return nil
	}
	order := random.New(p.Seed, "eval/reference", 0).Perm(reference.N)
	real := pick(reference, order[:min(100, reference.N)])
	err := job.Output(ctx, "reference", func(w io.Writer) error {
		return preview.Set(w, real) // as sample draws its own
	})
	if err != nil || samples == nil || !slices.Equal(samples.Shape(), reference.Shape()) {
		return err
	}
	size := samples.C * samples.H * samples.W
	k := min(p.Neighbours, reference.N)
	compared := samples.Head(max(p.Compared, p.Panel)).(*dataset.Images)
	near, err := metrics.Nearest(compared.Pixels, reference.Pixels, size, k)
	if err != nil {
		return err
	}
	s.Nearest = nearest(near, s)
	if test != nil && slices.Equal(test.set.Shape(), reference.Shape()) {
		held := pick(test.set, random.New(p.Seed, "eval/test", 0).Perm(test.n())[:min(test.n(), compared.N)])
		other, err := metrics.Nearest(held.Pixels, reference.Pixels, size, 1)
		if err != nil {
			return err
		}
		d := distances(other)
		s.Nearest.TestMedian, s.Nearest.TestLeast = d[len(d)/2], d[0]
	}
	return job.Output(ctx, "neighbours", func(w io.Writer) error {
		return panel(w, samples, reference, near[:min(p.Panel, compared.N)])
	})
}

// nearest sums up the neighbours of samples.
func nearest(near [][]metrics.Neighbour, s *score) *nearScore {
	d := distances(near)
	out := &nearScore{Compared: len(d), SamplesMedian: d[len(d)/2], SamplesLeast: d[0]}
	for _, v := range d {
		if v == 0 {
			out.Copies++
		}
	}
	if out.Copies > 0 {
		s.warn("%d of %d samples are copies of a reference image, pixel by pixel", out.Copies, out.Compared)
	}
	return out
}

// distances to the nearest neighbour, ascending.
func distances(near [][]metrics.Neighbour) []float64 {
	out := make([]float64, len(near))
	for i, list := range near {
		out[i] = list[0].Distance
	}
	slices.Sort(out)
	return out
}

// panel draws a sample at the top of each column and its neighbours below it.
func panel(w io.Writer, samples, reference *dataset.Images, near [][]metrics.Neighbour) error {
	cols, rows := len(near), 1+len(near[0])
	var cells []uint8
	for r := range rows {
		for i, list := range near {
			if r == 0 {
				cells = append(cells, samples.Image(i)...)
			} else {
				cells = append(cells, reference.Image(list[r-1].Index)...)
			}
		}
	}
	shown := &dataset.Images{N: cols * rows, C: samples.C, H: samples.H, W: samples.W, Pixels: cells}
	return preview.Grid(w, shown, cols, gridScale(samples.W))
}

// gridScale enlarges small images so that they can be seen.
func gridScale(width int) int { return max(1, 56/max(width, 1)) }

// pixelGaussian draws n images whose pixels are independent Gaussians with the means and standard deviations that
// the pixels have over the set, clipped to 0..255 and rounded: all of the first two marginal moments, no structure.
func pixelGaussian(set *dataset.Images, n int, seed uint64) *dataset.Images {
	size := set.C * set.H * set.W
	mean, std := make([]float64, size), make([]float64, size)
	for i := range set.N {
		for j, v := range set.Image(i) {
			mean[j] += float64(v)
			std[j] += float64(int(v) * int(v))
		}
	}
	for j := range mean {
		mean[j] /= float64(set.N)
		std[j] = math.Sqrt(math.Max(0, std[j]/float64(set.N)-float64(mean[j]*mean[j])))
	}
	out := &dataset.Images{Name: set.Name, Split: "per-pixel Gaussian", N: n, C: set.C, H: set.H, W: set.W, Pixels: make([]uint8, n*size)}
	z := make([]float64, size)
	for i := range n {
		random.New(seed, "eval/pixel-gaussian", uint64(i)).Normal64(z)
		for j, v := range z {
			out.Pixels[i*size+j] = uint8(math.Round(math.Min(255, math.Max(0, mean[j]+float64(std[j]*v)))))
		}
	}
	return out
}

// pick returns the images of the given indices, in their order.
func pick(set *dataset.Images, indices []int) *dataset.Images {
	out := &dataset.Images{Name: set.Name, Split: set.Split, N: len(indices), C: set.C, H: set.H, W: set.W}
	for _, i := range indices {
		out.Pixels = append(out.Pixels, set.Image(i)...)
	}
	return out
}
