package main

import (
	"context"
	"fmt"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/metrics"
	"vapo/lib/random"
)

// mmdScore is the maximum mean discrepancy of the first pair of sets: the squared one, unbiased, under Gaussian kernels
// around the median distance.
type mmdScore struct {
	Squared   float64 `json:"squared"`
	Bandwidth float64 `json:"bandwidth"`
	N         []int   `json:"n"`
}

// scorePoints is the sliced 2-Wasserstein distance between samples and data, the mean of several pairs of sets, and
// the same between data and data: what a perfect sampler would get.
//
// Where the density of the data is known each pair draws fresh points. Otherwise the reference is shuffled and cut in
// two halves, one for the pairs with samples, both for the pairs of data with data.
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
	var one, two func(pair int) []float32
	if m := reference.Mixture; m != nil {
		fresh := func(index int) []float32 {
			x, _ := m.Sample(random.New(p.Seed, "eval/fresh", uint64(index)), n)
			return x
		}
		one = func(pair int) []float32 { return fresh(2 * pair) }
		two = func(pair int) []float32 { return fresh(2*pair + 1) }
		s.Reference = "fresh draws from the density of " + s.Reference
	} else {
		half := reference.N / 2
		if half < n {
			n = half
			s.warn("%d reference points make two halves of %d, fewer than the points asked for on each side of a pair", reference.N, half)
		}
		shuffled := permute(reference, random.New(p.Seed, "eval/halves", 0).Perm(reference.N))
		one = func(pair int) []float32 { return window(shuffled[:half*reference.D], reference.D, n, pair, p.Pairs) }
		two = func(pair int) []float32 { return window(shuffled[half*reference.D:], reference.D, n, pair, p.Pairs) }
		if half < n*p.Pairs {
			s.warn("%d pairs of %d points overlap: the reference has %d", p.Pairs, n, reference.N)
		}
	}
	if samples.N < n*p.Pairs {
		s.warn("%d pairs of %d points share samples: there are %d, and %d would make the pairs independent", p.Pairs, n, samples.N, n*p.Pairs)
	}

	var ours, floor float64
	for pair := range p.Pairs {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		data := one(pair)
		seed := p.Seed + uint64(pair)
		w, err := metrics.SlicedW2(window(samples.X, samples.D, n, pair, p.Pairs), data, samples.D, p.Projections, seed)
		if err != nil {
			return nil, failure.New(failure.Numeric, "", "pair %d of samples and data: %w", pair, err)
		}
		ours += w / float64(p.Pairs)
		if w, err = metrics.SlicedW2(two(pair), data, samples.D, p.Projections, seed); err != nil {
			return nil, failure.New(failure.Numeric, "", "pair %d of data and data: %w", pair, err)
		}
		floor += w / float64(p.Pairs)
	}
	mmd, err := metrics.MMD(window(samples.X, samples.D, n, 0, p.Pairs), one(0), samples.D, metrics.MMDOptions{Seed: p.Seed})
	if err != nil {
		return nil, failure.New(failure.Numeric, "", "samples and data: %w", err)
	}
	s.MMD = &mmdScore{mmd.Value, mmd.Bandwidth, []int{mmd.NA, mmd.NB}}
	s.Value, s.N = ours, []int{n, n}
	s.Baselines["data against data"] = floor
	s.Headline = fmt.Sprintf("sliced W2 %.4g: %d samples against %s, mean of %d pairs", ours, n, s.Reference, p.Pairs)
	if floor > 0 {
		s.Ratio = ours / floor
		s.Headline = fmt.Sprintf("sliced W2 %.4g, %.2f x that of data against data: %d samples against %s, mean of %d pairs", ours, s.Ratio, n, s.Reference, p.Pairs)
	}
	return s, nil
}

// window is the n rows that pair k of pairs takes of x, [*, d]: windows spread evenly, disjoint where there is room.
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

// permute returns the points in the given order, [n, d].
func permute(p *dataset.Points, order []int) []float32 {
	out := make([]float32, 0, len(p.X))
	for _, i := range order {
		out = append(out, p.Point(i)...)
	}
	return out
}
