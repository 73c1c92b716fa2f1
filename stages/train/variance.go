package main

import (
	"vapo/lib/backend"
	"vapo/lib/dataset"
	"vapo/lib/feature"
	"vapo/lib/homotopy"
	"vapo/lib/random"
	"vapo/lib/training"
)

// varianceMeasure is the variance of the gradient from batch to batch, in bins of time, after so many steps.
type varianceMeasure struct {
	Step int64                  `json:"step"`
	Bins []training.BinVariance `json:"bins"`
}

// varianceSamples are the samples that such batches are drawn from, the first of the data.
const varianceSamples = 10000

// varianceProbe measures it on batches of its own, of the size that is computed at once.
type varianceProbe struct {
	v       *training.GradientVariance
	seed    uint64
	batches int
	rows    int
	path    homotopy.Schedule
	data    dataset.Set
	labels  *teller
}

func newVarianceProbe(be backend.Backend, p *params, r *potentialRun, data *data) (*varianceProbe, error) {
	first, err := data.head(varianceSamples)
	if err != nil {
		return nil, err
	}
	rows := p.Batch / p.micro()
	v, err := training.NewGradientVariance(be, r.config, p.Objective, rows)
	if err != nil {
		return nil, unfit(err)
	}
	return &varianceProbe{v: v, seed: p.Seed, batches: p.VarianceBatches, rows: rows, path: r.path, data: first, labels: r.labels}, nil
}

// measure measures at the weights after step steps. Its batches are functions of seed and step.
func (p *varianceProbe) measure(s *training.Step, step int64) ([]training.BinVariance, error) {
	weights, err := s.Weights()
	if err != nil {
		return nil, err
	}
	out, err := p.v.Measure(weights, training.BinCount, p.batches, func(bin, k int, b [][]float32) error {
		p.fill(b, random.New(p.seed, "train/variance", (uint64(step)*training.BinCount+uint64(bin))*uint64(p.batches)+uint64(k)), bin)
		return nil
	})
	for i := range out {
		out[i].Variance, out[i].MeanSquare = round(out[i].Variance, 5), round(out[i].MeanSquare, 5)
	}
	return out, err
}

func (p *varianceProbe) fill(b [][]float32, from *random.Source, bin int) {
	x := b[training.BatchX]
	d := len(x) / p.rows
	if p.labels != nil {
		clear(b[training.BatchLabel])
	}
	for row := range p.rows {
		i := from.IntN(p.data.Len())
		switch s := p.data.(type) {
		case *dataset.Images:
			feature.Scale(x[row*d:(row+1)*d], s.Image(i))
		case *dataset.Points:
			copy(x[row*d:(row+1)*d], s.Point(i))
		}
		if p.labels != nil {
			p.labels.tell(b[training.BatchLabel], row, i)
		}
	}
	from.Normal(b[training.BatchNoise])
	var columns [homotopy.Columns][]float32
	copy(columns[:], b[training.BatchTimes:])
	for row := range p.rows {
		u := (float64(bin) + (float64(row)+from.Uniform64())/float64(p.rows)) / training.BinCount
		homotopy.Fill(p.path, p.path.Draw(u), row, &columns)
	}
}
