package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/preview"
	"vapo/lib/sampling"
	"vapo/lib/stage"
	"vapo/lib/tensorfile"
)

// pictureParams request pictures of the flow in addition to the samples.
type pictureParams struct {
	Trajectories int `help:"Samples whose trajectories are drawn; 0: none." default:"0" unit:"samples" effect:"none"`
	Interpolate  int `help:"Pairs of noise vectors to interpolate; 0: none." default:"0" unit:"pairs" effect:"none"`
}

const (
	trajectoryPoints = 10
	pairPoints       = 10 // both ends included
	maxPictured      = 200
	pictureHint      = "request fewer pictured samples; --n draws any number of samples"
)

func (p *pictureParams) check() error {
	if t, n := p.Trajectories, p.Interpolate; min(t, n) < 0 || max(t, n) > maxPictured {
		return failure.New(failure.Usage, pictureHint, "trajectories and interpolate are %d and %d: expected 0 to %d",
			t, n, maxPictured)
	}
	return nil
}

// writePictures writes the requested pictures.
func writePictures(ctx context.Context, job *stage.Job, m *model, s *sampling.Sampler, p *params) error {
	d := m.config.Dim()
	if n := p.Pictures.Trajectories; n > 0 {
		tr, err := s.Trajectories(ctx, p.Seed, n, trajectoryPoints)
		if err != nil {
			return fmt.Errorf("trajectories: %w", err)
		}
		points := len(tr.Times)
		headings := make([]string, points)
		for k, t := range tr.Times {
			headings[k] = fmt.Sprintf("t=%.3g", t)
		}
		err = job.Output(ctx, "trajectories", func(w io.Writer) error {
			if len(m.config.Shape) == 1 {
				title := fmt.Sprintf("%d samples from noise (small) to data (large)", n)
				return preview.Paths(w, title, tr.X, n, points, d)
			}
			images := sampling.Set(m.config, tr.X, n*points).(*dataset.Images)
			return preview.Table(w, headings, rowsOf(images, points, strconv.Itoa))
		})
		if err != nil {
			return err
		}
	}
	pairs := p.Pictures.Interpolate
	if pairs == 0 {
		return nil
	}
	set, err := m.interpolate(ctx, s, p.Seed, pairs, pairPoints, nil)
	if err != nil {
		return fmt.Errorf("interpolation: %w", err)
	}
	err = job.Output(ctx, "paths", func(w io.Writer) error { return tensorfile.Write(w, set.Table()) })
	if err != nil {
		return err
	}
	return job.Output(ctx, "interpolation", func(w io.Writer) error {
		if points, ok := set.(*dataset.Points); ok {
			title := fmt.Sprintf("samples between %d pairs of noises", pairs)
			return preview.Paths(w, title, points.X, pairs, pairPoints, d)
		}
		label := func(k int) string { return fmt.Sprintf("%d-%d", 2*k, 2*k+1) }
		return preview.Table(w, nil, rowsOf(set.(*dataset.Images), pairPoints, label))
	})
}

// rowsOf divides images into labelled rows of n images.
func rowsOf(s *dataset.Images, n int, label func(row int) string) []preview.Row {
	var rows []preview.Row
	for k := range s.N / n {
		size := n * s.C * s.H * s.W
		row := *s
		row.N, row.Pixels, row.Labels = n, s.Pixels[k*size:(k+1)*size], nil
		rows = append(rows, preview.Row{Label: label(k), Images: &row})
	}
	return rows
}
