package main

import (
	"context"
	"math"
	"time"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/sampling"
	"vapo/lib/stage"
)

// maxValues is the maximum number of float32 values that one run holds in memory: 64 GiB.
const maxValues = 1 << 34

// drawAll draws samples [First, First+N). It also returns how many evaluations of the network and how many seconds they
// took.
func drawAll(
	ctx context.Context, job *stage.Job, m *model, s *sampling.Sampler, p *params,
) (set dataset.Set, work sampling.Work, seconds float64, err error) {
	d := m.config.Dim()
	if p.N > maxValues/d {
		return nil, work, 0, failure.New(failure.Resources, "draw in several runs with --first",
			"%d samples of %d values each do not fit in memory", p.N, d)
	}
	x := make([]float32, p.N*d)
	progress := job.Progress(int64(p.N), "samples")
	start, reported := time.Now(), 0
	work, err = s.Draw(ctx, p.Seed, p.First, p.N, x, func(done int) {
		if done-reported < p.Batch && done < p.N {
			return
		}
		reported = done
		rate := float64(done) / time.Since(start).Seconds()
		progress.Set(int64(done), "samples_per_s", math.Round(10*rate)/10)
	})
	if err != nil {
		return nil, work, 0, err
	}
	progress.Done()
	set = withLabels(sampling.Set(m.config, x, p.N), s.Label, func(i int) int { return p.First + i })
	return set, work, time.Since(start).Seconds(), nil
}

// sampler compiles a sampler with the given settings. label maps the index of a sample to its class, or is nil.
func (m *model) sampler(label func(sample int) int, set sampling.Settings) (*sampling.Sampler, error) {
	set.Guidance = m.guidance
	s, err := sampling.New(m.be, m.config, m.weights, set)
	if err != nil {
		return nil, err
	}
	s.Label = label
	return s, nil
}
