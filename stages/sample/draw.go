package main

import (
	"context"
	"math"
	"time"

	"vapo/lib/dataset"
	"vapo/lib/sampling"
	"vapo/lib/stage"
)

// maxValues is the maximum number of float32 values that one run holds in memory: 64 GiB.
const maxValues = 1 << 34

// drawAll draws samples [First, First+N), or takes the parts that the shards of the run have drawn. It also returns
// their number of evaluations of the network and their seconds, those of the shards included.
func drawAll(
	ctx context.Context, job *stage.Job, m *model, s *sampling.Sampler, p *params,
) (set dataset.Set, work sampling.Work, seconds float64, err error) {
	d := m.config.Dim()
	dr := &drawer{job: job, model: m, sampler: s, params: p, progress: job.Progress(int64(p.N), "samples"),
		total: p.N, began: time.Now()}
	ranges := []interval{{p.First, p.First + p.N}}
	if job.Sharded() {
		ranges = partsOf(p, s.Block)
		if dr.parts, err = job.Parts(ctx); err != nil {
			return nil, work, 0, err
		}
	}
	x := make([]float32, p.N*d)
	for _, r := range ranges {
		w, sec, err := dr.draw(ctx, r, x[(r.from-p.First)*d:(r.to-p.First)*d])
		if err != nil {
			return nil, work, 0, err
		}
		work.Add(w)
		seconds += sec
	}
	dr.progress.Done()
	set = withLabels(sampling.Set(m.config, x, p.N), s.Label, func(i int) int { return p.First + i })
	return set, work, seconds, nil
}

// interval is a range of sample indices. It includes the index from and excludes the index to.
type interval struct{ from, to int }

func (r interval) len() int { return r.to - r.from }

// drawer draws intervals of samples one after the other, and reports the progress towards total.
type drawer struct {
	job      *stage.Job
	model    *model
	sampler  *sampling.Sampler
	params   *params
	parts    stage.Parts // nil: samples are neither taken from parts nor saved as parts
	progress *stage.Progress

	total, done, reported int // samples
	drawn                 int // samples that did not come from parts
	began                 time.Time
}

// draw writes the samples of an interval to x, in the network's units. It loads them if they are a saved part, and
// draws them otherwise.
func (d *drawer) draw(ctx context.Context, r interval, x []float32) (sampling.Work, float64, error) {
	var key string
	if d.parts != nil {
		var err error
		if key, err = d.key(r); err != nil {
			return sampling.Work{}, 0, err
		}
		value, ok, err := d.parts.Load(ctx, key)
		if err != nil {
			return sampling.Work{}, 0, err
		}
		if work, seconds, sound := d.decode(value, x); ok && sound {
			d.report(d.done + r.len())
			return work, seconds, nil
		}
	}
	start, before := time.Now(), d.done
	work, err := d.sampler.Draw(ctx, d.params.Seed, r.from, r.len(), x, func(done int) {
		d.drawn += before + done - d.done
		d.report(before + done)
	})
	seconds := time.Since(start).Seconds()
	if err != nil || d.parts == nil {
		return work, seconds, err
	}
	value, err := d.encode(x, work, seconds)
	if err != nil {
		return work, seconds, err
	}
	return work, seconds, d.parts.Save(ctx, key, value)
}

// report sets the progress to the given number of samples, at most once in Batch samples.
func (d *drawer) report(done int) {
	d.done = done
	if done-d.reported < d.params.Batch && done < d.total {
		return
	}
	d.reported = done
	rate := float64(d.drawn) / time.Since(d.began).Seconds()
	d.progress.Set(int64(done), "samples_per_s", math.Round(10*rate)/10)
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
