package main

import (
	"context"
	"fmt"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/metrics"
	"vapo/lib/random"
)

// mmdScore is the unbiased estimate of the squared maximum mean discrepancy between the first pair of sets. Its
// Gaussian kernels have bandwidths around the median distance.
type mmdScore struct {
	Squared   float64 `json:"squared"`
	Bandwidth float64 `json:"bandwidth"`
	N         []int   `json:"n"`
}

// scorePoints computes the sliced 2-Wasserstein distance between samples and data, as the mean over several pairs of
// sets. As a baseline, it computes the distance between two sets of data, which a perfect sampler would reach.
//
// If the density of the data is known, each pair uses freshly drawn points. Otherwise the reference is shuffled and
// split into two halves: samples are compared with the first half, and the baseline compares the two halves.
func scorePoints(ctx context.Context, p *params, samples, reference *dataset.Points) (*score, error) {
	s := &score{
		Metric: "sliced 2-Wasserstein distance", Reference: splitName(reference.Name, reference.Split),
		Baselines: map[string]float64{}, Pairs: p.Pairs, Projections: p.Projections,
	}
	n := p.N
	if samples.N < n {
		n = samples.N
		s.warn("%d samples, fewer than the %d points asked for on each side of a pair", samples.N, p.N)
	}
	var data, moreData func(pair int) []float32
	if m := reference.Mixture; m != nil {
		fresh := func(index int) []float32 {
			x, _ := m.Sample(random.New(p.Seed, "eval/fresh", uint64(index)), n)
			return x
		}
		data = func(pair int) []float32 { return fresh(2 * pair) }
		moreData = func(pair int) []float32 { return fresh(2*pair + 1) }
		s.Reference = "fresh draws from the density of " + s.Reference
	} else {
		half := reference.N / 2
		if half < n {
			n = half
			s.warn("%d reference points make two halves of %d, fewer than the points asked for on each side of a pair",
				reference.N, half)
		}
		shuffled := shuffle(feature.Matrix{Width: reference.D, Data: reference.X}, p.Seed, "eval/halves")
		first, second := shuffled[:half*reference.D], shuffled[half*reference.D:]
		data = func(pair int) []float32 { return window(first, reference.D, n, pair, p.Pairs) }
		moreData = func(pair int) []float32 { return window(second, reference.D, n, pair, p.Pairs) }
		if half < n*p.Pairs {
			s.warn("%d pairs of %d points overlap: the reference has %d", p.Pairs, n, reference.N)
		}
	}
	if samples.N < n*p.Pairs {
		s.warn("%d pairs of %d points share samples: there are %d, and %d would make the pairs independent",
			p.Pairs, n, samples.N, n*p.Pairs)
	}

	set := func(pair int) []float32 { return window(samples.X, samples.D, n, pair, p.Pairs) }
	var value, floor float64
	for pair := range p.Pairs {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		seed := p.Seed + uint64(pair)
		x := data(pair)
		w, err := metrics.SlicedW2(set(pair), x, samples.D, p.Projections, seed)
		if err != nil {
			return nil, failure.New(failure.Numeric, "", "pair %d of samples and data: %w", pair, err)
		}
		value += w / float64(p.Pairs)
		if w, err = metrics.SlicedW2(moreData(pair), x, samples.D, p.Projections, seed); err != nil {
			return nil, failure.New(failure.Numeric, "", "pair %d of data and data: %w", pair, err)
		}
		floor += w / float64(p.Pairs)
	}
	// The distance is known by now, so the points are finite. MMD fails only if they are too few or mostly coincide, and
	// then the distance is still a result.
	if mmd, err := metrics.MMD(set(0), data(0), samples.D, metrics.MMDOptions{Seed: p.Seed}); err != nil {
		s.warn("not measured: %v", err)
	} else {
		s.MMD = &mmdScore{mmd.Value, mmd.Bandwidth, []int{mmd.NA, mmd.NB}}
	}
	s.Value, s.N = value, []int{n, n}
	s.Baselines["data against data"] = floor
	s.Headline = fmt.Sprintf("sliced W2 %.4g", value)
	if floor > 0 {
		s.Ratio = value / floor
		s.Headline += fmt.Sprintf(", %.2f x that of data against data", s.Ratio)
	}
	s.Headline += fmt.Sprintf(": %d samples against %s, mean of %d pairs", n, s.Reference, p.Pairs)
	return s, nil
}

// window returns n rows of x [*, d] for pair k, counted from 0, of the given number of pairs. The windows of different
// pairs do not overlap if x has enough rows; otherwise they are evenly spaced.
func window(x []float32, d, n, k, pairs int) []float32 {
	at := 0
	if spare := len(x)/d - n; pairs > 1 {
		at = min(k*n, spare)
		if spare < n*(pairs-1) {
			at = k * spare / (pairs - 1)
		}
	}
	return x[at*d : (at+n)*d]
}
