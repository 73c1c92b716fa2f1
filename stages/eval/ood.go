package main

import (
	"context"
	"fmt"
	"math"
	"slices"

	"vapo/lib/checkpoint"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/metrics"
	"vapo/lib/potential"
	"vapo/lib/random"
	"vapo/lib/stage"
)

// oodScore measures how well the potential separates data from outliers. Each AUROC is the probability that a datum
// gets a higher value than an outlier (the area under the ROC curve; 1/2 is chance). One value is the log density of
// the path at time t, the other the negative length of the gradient. Both are evaluated at mu(t)·x, which is where
// the path of a datum x is at time t if the noise is zero.
type oodScore struct {
	Time     float64 `json:"t"`
	Density  float64 `json:"auroc_log_density"`
	Gradient float64 `json:"auroc_short_gradient"`
	Inliers  string  `json:"inliers"`
	Outliers string  `json:"outliers"`
	N        []int   `json:"n"` // numbers of inliers and of outliers
}

// Numbers of rows for which the potential is evaluated in one call.
const (
	imageBlock = 64
	pointBlock = 256
)

// scoreOutliers compares inliers with the input "outliers", using the potential in the input "checkpoint". It returns
// nil if these two inputs are not given.
func scoreOutliers(
	ctx context.Context, job *stage.Job, p *params, open opener, inliers dataset.Set, name string,
) (*oodScore, error) {
	if !job.HasInput("outliers") {
		return nil, nil
	}
	be, err := open()
	if err != nil {
		return nil, err
	}
	path, err := job.Input(ctx, "checkpoint")
	if err != nil {
		return nil, err
	}
	c, err := checkpoint.Read(path)
	if err != nil {
		return nil, failure.New(failure.Input, "give the checkpoint output of train", "input checkpoint: %w", err)
	}
	config, weights, err := potential.FromCheckpoint(c, checkpoint.EMA)
	if err != nil {
		return nil, failure.New(failure.Input, "give a checkpoint of a potential", "input checkpoint: %w", err)
	}
	if err := config.HasPotential("a comparison with outliers"); err != nil {
		return nil, fmt.Errorf("input checkpoint: %w", err)
	}
	outliers, outliersName, err := readOutliers(ctx, job)
	if err != nil {
		return nil, err
	}
	block := imageBlock
	if len(config.Shape) == 1 {
		block = pointBlock
	}
	field, err := potential.NewField(be, config, weights, block)
	if err != nil {
		return nil, err
	}
	s := &oodScore{Time: p.OODTime, Inliers: name, Outliers: outliersName}
	var density, gradient [2][]float64
	for i, set := range []dataset.Set{inliers, outliers} {
		if !slices.Equal(set.Shape(), config.Shape) {
			return nil, failure.New(failure.Input, "inliers and outliers must have the shape of the potential's training data",
				"%s holds rows of shape %v, the potential takes %v", []string{name, outliersName}[i], set.Shape(), config.Shape)
		}
		rows := drawRows(set, config.Dim(), p.OODN, p.Seed)
		if density[i], gradient[i], err = densities(ctx, field, rows, p.OODTime); err != nil {
			return nil, err
		}
		s.N = append(s.N, len(rows))
	}
	if s.Density, err = metrics.AUROC(density[0], density[1]); err == nil {
		s.Gradient, err = metrics.AUROC(gradient[0], gradient[1])
	}
	if err != nil {
		return nil, failure.New(failure.Numeric, "choose an ood-time further from 0 and 1", "outliers: %w", err)
	}
	return s, nil
}

func readOutliers(ctx context.Context, job *stage.Job) (set dataset.Set, name string, err error) {
	images, points, err := readInput(ctx, job, "outliers")
	switch {
	case err != nil:
		return nil, "", err
	case points != nil:
		if name = splitName(points.Name, points.Split); name == unnamed {
			name = "input outliers"
		}
		return points, name, nil
	case images.loaded == nil:
		return nil, "", failure.New(failure.Input, "give images if the samples are images",
			"input outliers holds no images")
	}
	return images.loaded, images.name, nil
}

// drawRows draws at most n rows of a set without replacement, as [n][d]. Images are scaled to [-1, 1].
func drawRows(set dataset.Set, d, n int, seed uint64) [][]float32 {
	var rows [][]float32
	for _, i := range random.New(seed, "eval/ood", uint64(set.Len())).Perm(set.Len())[:min(set.Len(), n)] {
		row := make([]float32, d)
		set.Row(row, i)
		rows = append(rows, row)
	}
	return rows
}

// densities returns two values for each row x, evaluated at mu·x: the log density of the path, up to a constant, and
// the negative length of the potential's gradient.
func densities(ctx context.Context, field *potential.Field, rows [][]float32, t float64) (
	density, negLength []float64, err error) {
	path, err := field.Config.Path()
	if err != nil {
		return nil, nil, err
	}
	at, d := path.At(t), field.Config.Dim()
	x, grad := make([]float32, field.Batch*d), make([]float32, field.Batch*d)
	phi, times := make([]float32, field.Batch), make([]float32, field.Batch)
	for i := range times {
		times[i] = float32(t)
	}
	for from := 0; from < len(rows); from += field.Batch {
		if err := context.Cause(ctx); err != nil {
			return nil, nil, err
		}
		clear(x)
		part := rows[from:min(from+field.Batch, len(rows))]
		for i, row := range part {
			for k, v := range row {
				x[i*d+k] = float32(at.Mu) * v
			}
		}
		if err := field.Eval(x, times, phi, grad); err != nil {
			return nil, nil, err
		}
		for i := range part {
			var square, length float64
			for k := i * d; k < (i+1)*d; k++ {
				a, g := float64(x[k]), float64(grad[k])
				square += float64(a * a)
				length += float64(g * g)
			}
			density = append(density, at.LogDensity(float64(phi[i]), square))
			negLength = append(negLength, -math.Sqrt(length))
		}
	}
	return density, negLength, nil
}
