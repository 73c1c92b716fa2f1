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
)

// pictureParams ask for pictures of the flow beside the samples.
type pictureParams struct {
	Trajectories int `help:"Samples, the first ones of the seed, whose way from noise to data is drawn; 0: none." default:"0" unit:"samples" effect:"none"`
	Interpolate  int `help:"Pairs of noises between which samples are drawn along spherical paths; 0: none." default:"0" unit:"pairs" effect:"none"`
}

const (
	wayPoints      = 10 // of a trajectory
	betweenPoints  = 10 // of a pair, both ends included
	mostPictured   = 200
	pictureHint    = "pictures are for people to look at: draw many samples with --n"
	columnTimeForm = "t=%.3g"
)

func (p *pictureParams) check() error {
	if t, n := p.Trajectories, p.Interpolate; min(t, n) < 0 || max(t, n) > mostPictured {
		return failure.New(failure.Usage, pictureHint, "trajectories and interpolate are %d and %d: expected 0 to %d", t, n, mostPictured)
	}
	return nil
}

// pictures draws and writes what was asked for.
func pictures(ctx context.Context, job *stage.Job, m *model, p *params) error {
	s, err := m.sampler(p)
	if err != nil {
		return err
	}
	d := m.config.Dim()
	if n := p.Pictures.Trajectories; n > 0 {
		tr, err := s.Trajectories(ctx, p.Seed, n, wayPoints)
		if err != nil {
			return fmt.Errorf("trajectories: %w", sampling.Explain(err))
		}
		points := len(tr.Times)
		heads := make([]string, points)
		for k, t := range tr.Times {
			heads[k] = fmt.Sprintf(columnTimeForm, t)
		}
		err = job.Output(ctx, "trajectories", func(w io.Writer) error {
			if len(m.config.Shape) == 1 {
				return preview.Paths(w, fmt.Sprintf("%d samples from noise (small) to data (large)", n), tr.X, n, points, d)
			}
			return preview.Table(w, heads, rowsOf(sampling.Set(m.config, tr.X, n*points).(*dataset.Images), points, strconv.Itoa))
		})
		if err != nil {
			return err
		}
	}
	pairs := p.Pictures.Interpolate
	if pairs == 0 {
		return nil
	}
	set, err := m.interpolate(ctx, s, p.Seed, pairs, betweenPoints, nil)
	if err != nil {
		return fmt.Errorf("interpolation: %w", err)
	}
	return job.Output(ctx, "interpolation", func(w io.Writer) error {
		if points, ok := set.(*dataset.Points); ok {
			return preview.Paths(w, fmt.Sprintf("samples between %d pairs of noises", pairs), points.X, pairs, betweenPoints, d)
		}
		return preview.Table(w, nil, rowsOf(set.(*dataset.Images), betweenPoints, func(k int) string { return fmt.Sprintf("%d-%d", 2*k, 2*k+1) }))
	})
}

// rowsOf cuts images into rows of so many, labelled by their number.
func rowsOf(s *dataset.Images, per int, label func(row int) string) []preview.Row {
	var rows []preview.Row
	for k := range s.N / per {
		row := *s
		row.N, row.Pixels, row.Labels = per, s.Pixels[k*per*s.C*s.H*s.W:(k+1)*per*s.C*s.H*s.W], nil
		rows = append(rows, preview.Row{Label: label(k), Images: &row})
	}
	return rows
}
