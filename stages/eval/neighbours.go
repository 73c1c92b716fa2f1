package main

import (
	"context"
	"io"
	"slices"

	"vapo/lib/dataset"
	"vapo/lib/metrics"
	"vapo/lib/preview"
	"vapo/lib/stage"
)

// nearestScore compares how close samples and test images are to the training set. Distances are L2 distances of pixels
// with grey levels 0 to 255.
type nearestScore struct {
	Compared      int     `json:"compared"`
	SamplesMedian float64 `json:"samples_median"`
	SamplesLeast  float64 `json:"samples_least"`
	TestMedian    float64 `json:"test_median,omitempty"`
	TestLeast     float64 `json:"test_least,omitempty"`
	Copies        int     `json:"copies"` // number of samples that equal a training image in every pixel
}

// drawNeighbours writes two pictures: real images, and samples above their nearest real images. It also scores the
// distances to the nearest images. samples and reference are nil if they are not images in memory; test may be nil.
func drawNeighbours(ctx context.Context, job *stage.Job, p *params, s *score, samples, reference *dataset.Images,
	test *imageSet) error {
	if reference == nil {
		return nil
	}
	err := job.Output(ctx, "reference", func(w io.Writer) error {
		return preview.Set(w, draw(reference, 100, "eval/reference", p.Seed)) // 100 images, like the grid of the stage sample
	})
	if err != nil || samples == nil || !slices.Equal(samples.Shape(), reference.Shape()) {
		return err
	}
	size := samples.C * samples.H * samples.W
	compared := samples.Head(max(p.Compared, p.Panel)).(*dataset.Images)
	near, err := metrics.Nearest(compared.Pixels, reference.Pixels, size, min(p.Neighbours, reference.N))
	if err != nil {
		return err
	}
	d := distances(near)
	s.Nearest = &nearestScore{Compared: len(d), SamplesMedian: d[len(d)/2], SamplesLeast: d[0]}
	for ; s.Nearest.Copies < len(d) && d[s.Nearest.Copies] == 0; s.Nearest.Copies++ {
	}
	if s.Nearest.Copies > 0 {
		s.warn("%d of %d samples are copies of a reference image, pixel by pixel", s.Nearest.Copies, s.Nearest.Compared)
	}
	if test != nil && slices.Equal(test.loaded.Shape(), reference.Shape()) {
		near, err := metrics.Nearest(draw(test.loaded, compared.N, "eval/test", p.Seed).Pixels, reference.Pixels, size, 1)
		if err != nil {
			return err
		}
		d := distances(near)
		s.Nearest.TestMedian, s.Nearest.TestLeast = d[len(d)/2], d[0]
	}
	return job.Output(ctx, "neighbours", func(w io.Writer) error {
		return drawPanel(w, samples, reference, near[:min(p.Panel, compared.N)])
	})
}

// distances returns each row's distance to its nearest neighbour, in ascending order.
func distances(near [][]metrics.Neighbour) []float64 {
	out := make([]float64, len(near))
	for i, list := range near {
		out[i] = list[0].Distance
	}
	slices.Sort(out)
	return out
}

// drawPanel draws a sample at the top of each column and its neighbours below it.
func drawPanel(w io.Writer, samples, reference *dataset.Images, near [][]metrics.Neighbour) error {
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
	scale := max(1, 56/max(samples.W, 1)) // enlarges small images
	grid := &dataset.Images{N: cols * rows, C: samples.C, H: samples.H, W: samples.W, Pixels: cells}
	return preview.Grid(w, grid, cols, scale)
}
