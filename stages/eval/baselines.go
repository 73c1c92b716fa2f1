package main

import (
	"context"
	"fmt"
	"io"
	"math"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/random"
	"vapo/lib/stage"
	"vapo/lib/tensorfile"
)

// Names of the baselines in scores and reports.
const (
	baseGaussian = "per-pixel Gaussian of the reference"
	baseTest     = "floor: test images, as many as samples"
	baseAllTest  = "floor: all test images"
)

// baseline is a set whose distance from the reference helps to interpret the score.
type baseline struct {
	name string
	set  *imageSet
}

// baselines returns a per-pixel Gaussian, a subset of the test images with as many images as there are samples (if
// there are more test images than samples), and all test images. The subset shows the distance that a perfect sampler
// would reach. All test images show how far this distance falls when more images reduce the bias of the estimate. test
// may be nil.
func baselines(p *params, samples, reference, test *imageSet) (list []baseline) {
	if !p.Baselines {
		return nil
	}
	if reference.loaded != nil {
		gaussian := pixelGaussian(reference.loaded, samples.n(), p.Seed)
		list = append(list, baseline{baseGaussian, loadedSet("the Gaussian baseline", gaussian)})
	}
	if test != nil {
		if test.n() > samples.n() {
			list = append(list, baseline{baseTest, loadedSet("input test", draw(test.loaded, samples.n(), "eval/test", p.Seed))})
		}
		list = append(list, baseline{baseAllTest, test})
	}
	return list
}

// pixelGaussian draws n images whose pixels are independent Gaussians, clipped to 0..255 and rounded. Each pixel has
// the mean and standard deviation of that pixel in the set, but the images have no structure.
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
	out := &dataset.Images{Name: set.Name, Split: "per-pixel Gaussian", N: n, C: set.C, H: set.H, W: set.W}
	out.Pixels = make([]uint8, n*size)
	z := make([]float64, size)
	for i := range n {
		random.New(seed, "eval/pixel-gaussian", uint64(i)).Normal64(z)
		for j, v := range z {
			out.Pixels[i*size+j] = uint8(math.Round(math.Min(255, math.Max(0, mean[j]+float64(std[j]*v)))))
		}
	}
	return out
}

// draw returns n images in random order, drawn without replacement. If set has fewer than n images, it returns all of
// them.
func draw(set *dataset.Images, n int, stream string, seed uint64) *dataset.Images {
	n = min(n, set.N)
	out := &dataset.Images{Name: set.Name, Split: set.Split, N: n, C: set.C, H: set.H, W: set.W}
	for _, i := range random.New(seed, stream, 0).Perm(set.N)[:n] {
		out.Pixels = append(out.Pixels, set.Image(i)...)
	}
	return out
}

// writeFeatures writes the moments of the reference's features and, with --keep-features, the features themselves.
func writeFeatures(ctx context.Context, job *stage.Job, p *params, c *scorer, reference *imageSet) error {
	if c.inPixels() {
		if p.KeepFeatures {
			return failure.New(failure.Input, "name a feature network as the input features",
				"there are no features to keep, because pixels are compared")
		}
		return nil
	}
	err := job.Output(ctx, "statistics", func(w io.Writer) error { return writeMoments(w, reference.moments) })
	if err != nil || !p.KeepFeatures || reference.features.Width == 0 {
		return err
	}
	return job.Output(ctx, "features", func(w io.Writer) error {
		t := feature.Table(reference.features, feature.Matrix{})
		t.Meta[dataset.MetaDataset] = reference.name
		if x := c.extractor; x != nil {
			t.Meta[metaNetwork], t.Meta[metaWeights], t.Meta[metaBackend] = x.Network.Name, x.Weights, x.Backend
		}
		return tensorfile.Write(w, t)
	})
}

// imageHeadline describes the score in one line, with the facts needed to interpret it.
func imageHeadline(s *score) string {
	text := fmt.Sprintf("%s: %.4g for %d samples against ", s.Metric, s.Value, s.N[0])
	if s.N[1] > 0 {
		text += fmt.Sprintf("the %d images of ", s.N[1])
	}
	text += s.Reference
	if s.Network != "" {
		text += ", features " + shortDigest(s.Network)
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
