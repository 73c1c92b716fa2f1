package main

import (
	"context"
	"errors"
	"math"
	"time"

	"vapo/lib/dataset"
	"vapo/lib/engine"
	"vapo/lib/ode"
	"vapo/lib/stage"
)

// draws integrates the flow for the samples of a run.
type draws struct {
	m       *model
	p       *params
	tableau *ode.Tableau
}

// work counts function evaluations, each one of grad Phi for one sample.
type work struct {
	total, samples, most int
	seconds              float64
}

func (w *work) add(nfe int) {
	w.total += nfe
	w.samples++
	w.most = max(w.most, nfe)
}

func (w *work) mean() float64 { return float64(w.total) / float64(w.samples) }

// maxNumbers bounds the numbers that one run holds: 64 GiB.
const maxNumbers = 1 << 34

// all draws samples [First, First+N).
func (r draws) all(ctx context.Context, job *stage.Job) (dataset.Set, *work, error) {
	d := r.m.config.Dim()
	if r.p.N > maxNumbers/d {
		return nil, nil, stage.Fail(stage.ExitResources, "draw in several runs with --first", "%d samples of %d numbers each do not fit in memory", r.p.N, d)
	}
	x := make([]float32, r.p.N*d)
	w := &work{}
	progress := job.Progress(int64(r.p.N), "samples")
	start := time.Now()
	block := r.m.field.Batch
	for at, n := 0, 0; at < r.p.N; at += n {
		// To the end of a block, or it would be integrated twice.
		end := r.p.First + at + min(r.p.Batch, r.p.N)
		end += (block - end%block) % block
		n = min(end-r.p.First-at, r.p.N-at)
		if err := r.some(ctx, r.p.First+at, n, x[at*d:(at+n)*d], w); err != nil {
			return nil, nil, err
		}
		progress.Set(int64(at+n), "samples_per_s", math.Round(10*float64(at+n)/time.Since(start).Seconds())/10)
	}
	progress.Done()
	w.seconds = time.Since(start).Seconds()
	return r.m.set(x, r.p.N), w, nil
}

// some draws samples [first, first+n) into out [n, D], block by aligned block.
func (r draws) some(ctx context.Context, first, n int, out []float32, w *work) error {
	d := r.m.config.Dim()
	block := r.m.field.Batch
	x := make([]float32, block*d)
	for base := first - first%block; base < first+n; base += block {
		// The rows beside the wanted ones hold their own samples too: that costs nothing and needs no rule of its own.
		for i := range block {
			r.m.noise(r.p.Seed, base+i, x[i*d:(i+1)*d])
		}
		nfe, err := r.integrate(ctx, x)
		if err != nil {
			return err(base)
		}
		for i := max(base, first); i < min(base+block, first+n); i++ {
			copy(out[(i-first)*d:(i-first+1)*d], x[(i-base)*d:(i-base+1)*d])
			w.add(nfe[i-base])
		}
	}
	return nil
}

// integrate carries a block from prior to data and returns the evaluations of each row. The error, if any, is a
// function of the block's first index, so that it can name the sample.
func (r draws) integrate(ctx context.Context, x []float32) ([]int, func(base int) error) {
	path, err := r.m.config.Path()
	if err != nil {
		return nil, func(int) error { return err }
	}
	d := r.m.config.Dim()
	block := r.m.field.Batch
	from, to := path.Span()
	flow := func(x, s, dx []float32) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return r.m.field.Flow(x, s, dx)
	}
	nfe := make([]int, block)
	if r.p.Solver == "rk45" {
		var stats ode.Stats
		stats, err = ode.Adaptive(r.tableau, flow, x, block, d, from, to, ode.Options{RTol: r.p.RTol, ATol: r.p.ATol, MaxSteps: r.p.MaxSteps})
		copy(nfe, stats.NFE)
	} else {
		var each int
		each, err = ode.Fixed(r.tableau, flow, x, block, d, from, to, r.p.Steps)
		for i := range nfe {
			nfe[i] = each
		}
	}
	if err == nil {
		return nfe, nil
	}
	return nil, func(base int) error {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		var row *ode.RowError
		if errors.As(err, &row) {
			return numeric(err, base+row.Row)
		}
		return engine.Explain(err)
	}
}

// set gives x [n, D] the form in which stages exchange it: pixels clip(round((x+1)·127.5), 0, 255), or points.
func (m *model) set(x []float32, n int) dataset.Set {
	if s := m.config.Shape; len(s) == 3 {
		pixels := make([]uint8, len(x))
		for i, v := range x {
			pixels[i] = uint8(min(max(math.RoundToEven((float64(v)+1)*127.5), 0), 255))
		}
		return &dataset.Images{Name: "samples", N: n, C: s[0], H: s[1], W: s[2], Pixels: pixels}
	}
	return &dataset.Points{Name: "samples", N: n, D: m.config.Dim(), X: x}
}
