package data

import (
	"slices"

	"vapo/lib/dataset"
	"vapo/lib/homotopy"
	"vapo/lib/random"
	"vapo/lib/training"
)

// Batches draws the batches of a training run. Each batch depends only on the seed and the step.
type Batches struct {
	Source *Source
	Seed   uint64
	Flip   bool // mirror images at random

	Labels []int64 // one per sample; nil if the network uses no labels
	// Dropout is the fraction of samples whose label is dropped. One network then learns both the flow of each class and
	// the unconditional flow (Ho and Salimans, arXiv 2207.12598, algorithm 1).
	Dropout float64

	// Path is the schedule with its loss weights, and Times the distribution of training times. Both are nil for a
	// classifier.
	Path  homotopy.Schedule
	Times homotopy.TimeDistribution
}

// Fill fills b with the samples and labels of a step and, for a potential, with noise and times.
func (d *Batches) Fill(step int64, b *training.Batch) error {
	from := func(stream string) *random.Source { return random.New(d.Seed, stream, uint64(step)) }
	n, shape := b.N(), d.Source.Shape()
	mirrored, dropped := from("train/flip"), from("train/label-drop")
	clear(b.Labels)
	for i := range n {
		s, err := d.Source.samples.At(step*int64(n) + int64(i))
		if err != nil {
			return invalid("data", err)
		}
		row := b.Row(i)
		if s.Pixels == nil {
			copy(b.Sample(row), s.Point)
		} else {
			dataset.Normalize(b.Sample(row), s.Pixels)
			if d.Flip && mirrored.IntN(2) == 1 {
				mirror(b.Sample(row), shape[len(shape)-1])
			}
		}
		if d.Labels != nil && dropped.Uniform64() >= d.Dropout {
			b.SetLabel(row, int(d.Labels[s.Index]))
		}
	}
	if d.Path == nil {
		return nil
	}
	// The unit interval is divided into n equal strata, and row i draws its time from stratum i. The times as a whole
	// still follow the distribution, with a lower variance than independent draws (Kingma et al., arXiv 2107.00630,
	// appendix I.1).
	noise, times := from("train/noise"), from("train/time")
	for i := range n {
		row := b.Row(i)
		noise.Normal(b.SampleNoise(row))
		b.SetTime(row, d.Path, d.Times(d.Path, (float64(i)+times.Uniform64())/float64(n)))
	}
	return nil
}

// mirror reverses every row of w values.
func mirror(v []float32, w int) {
	for ; len(v) >= w; v = v[w:] {
		slices.Reverse(v[:w])
	}
}
