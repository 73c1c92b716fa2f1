// Package sampling carries noise along the flow of a potential to data.
//
// It stands apart from the stage that hands samples out because training draws samples too, to say how far it has come,
// and both must mean the same by sample k: a function of (weights, seed, k) and the solver's settings alone. So samples
// are integrated in blocks of one size for each kind of network, sample k always in row k mod Block of its block, whatever
// is drawn beside it.
package sampling

import (
	"context"
	"errors"
	"fmt"

	"vapo/lib/dataset"
	"vapo/lib/engine"
	"vapo/lib/failure"
	"vapo/lib/homotopy"
	"vapo/lib/ode"
	"vapo/lib/potential"
	"vapo/lib/random"
)

// Blocks in which a field is evaluated, for images and for points.
const (
	imageBlock = 64
	pointBlock = 256
)

// Block is the number of samples that a field for drawing is compiled for (see potential.NewField).
func Block(c potential.Config) int {
	if len(c.Shape) == 1 {
		return pointBlock
	}
	return imageBlock
}

// Sampler draws samples. It is not safe for concurrent use, since its field is not.
type Sampler struct {
	Field    *potential.Field // compiled for blocks of Block(Field.Config)
	Solver   string           // see ode.Lookup
	Steps    int              // equal steps from prior to data; not for rk45
	RTol     float64          // rk45: relative tolerance of a step
	ATol     float64          // rk45: absolute tolerance of a step, in units of the data
	MaxSteps int              // rk45: steps that one sample may try
	TEnd     float64          // time at which the flow ends, see homotopy.Until; 0 stands for 1
	// Label is the class of a sample by its number, or potential.NoLabel; nil: no labels. It is a function of the number
	// alone, as the sample is to be.
	Label func(sample int) int
}

// Work counts function evaluations, each one of grad Phi for one sample.
type Work struct{ Total, Samples, Most int }

// Add counts other work too.
func (w *Work) Add(other Work) {
	w.Total += other.Total
	w.Samples += other.Samples
	w.Most = max(w.Most, other.Most)
}

func (w *Work) sample(nfe int) { w.Add(Work{nfe, 1, nfe}) }

// Mean is the number of evaluations of a sample, on average.
func (w Work) Mean() float64 { return float64(w.Total) / float64(max(1, w.Samples)) }

// Error says which sample could not be integrated; its cause is an *ode.RowError.
type Error struct {
	Sample int
	Err    error
}

func (e *Error) Error() string {
	return fmt.Sprintf("sample %d could not be integrated: %v", e.Sample, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Explain turns what stops the drawing of samples into the contract's terms; other errors stay as they are.
func Explain(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return failure.New(failure.Numeric, "train longer, or allow smaller steps", "%w", err)
	}
	return engine.Explain(err)
}

// Noise writes the starting point of a sample, from the prior N(0, w² I) of the network's path, to dst [D].
func Noise(c potential.Config, seed uint64, sample int, dst []float32) {
	random.New(seed, "sample/noise", uint64(sample)).Normal(dst)
	if w := float32(c.PriorStd); w != 1 {
		for i := range dst {
			dst[i] *= w
		}
	}
}

// Draw draws samples [first, first+n) of a seed into out [n, D], in the network's units (images in [-1, 1]). progress, if
// not nil, is told how many are done after every block. A sample that cannot be integrated is an *Error.
func (s *Sampler) Draw(ctx context.Context, seed uint64, first, n int, out []float32, progress func(done int)) (Work, error) {
	d, block := s.Field.Config.Dim(), s.Field.Batch
	if first < 0 || n < 0 || len(out) != n*d {
		return Work{}, fmt.Errorf("draw samples [%d, %d+%d) into %d numbers, expected %d of each sample", first, first, n, len(out), d)
	}
	var w Work
	x := make([]float32, block*d)
	for base := first - first%block; base < first+n; base += block {
		// The rows beside the wanted ones hold their own samples too: that costs nothing and needs no rule of its own.
		for i := range block {
			Noise(s.Field.Config, seed, base+i, x[i*d:(i+1)*d])
		}
		nfe, err := s.integrate(ctx, base, x)
		if err != nil {
			return w, err
		}
		from, to := max(base, first), min(base+block, first+n)
		copy(out[(from-first)*d:(to-first)*d], x[(from-base)*d:(to-base)*d])
		for i := from; i < to; i++ {
			w.sample(nfe[i-base])
		}
		if progress != nil {
			progress(to - first)
		}
	}
	return w, nil
}

// Carry integrates starting points x [n, D] of the caller's own to data, in place.
func (s *Sampler) Carry(ctx context.Context, x []float32, progress func(done int)) (Work, error) {
	d, block := s.Field.Config.Dim(), s.Field.Batch
	if len(x)%d != 0 {
		return Work{}, fmt.Errorf("integrate %d numbers, expected %d of each sample", len(x), d)
	}
	var w Work
	n := len(x) / d
	rows := make([]float32, block*d)
	for at := 0; at < n; at += block {
		count := min(block, n-at)
		clear(rows)
		copy(rows, x[at*d:(at+count)*d])
		nfe, err := s.integrate(ctx, at, rows)
		if err != nil {
			return w, err
		}
		copy(x[at*d:(at+count)*d], rows)
		for _, e := range nfe[:count] {
			w.sample(e)
		}
		if progress != nil {
			progress(at + count)
		}
	}
	return w, nil
}

// integrate carries a block, whose first row is sample base, from prior to data and returns the evaluations of each row.
func (s *Sampler) integrate(ctx context.Context, base int, x []float32) ([]int, error) {
	path, err := s.path()
	if err != nil {
		return nil, err
	}
	from, to := path.Span()
	return s.stretch(ctx, base, x, from, to, s.Steps)
}

// path is the schedule of the network, to where samples leave it.
func (s *Sampler) path() (homotopy.Schedule, error) {
	path, err := s.Field.Config.Path()
	if err != nil || s.TEnd == 0 {
		return path, err
	}
	if path, err = homotopy.Until(path, s.TEnd); err != nil {
		return nil, fmt.Errorf("--t-end: %w", err)
	}
	return path, nil
}

// stretch is integrate over a part of the path, in so many equal steps.
func (s *Sampler) stretch(ctx context.Context, base int, x []float32, from, to float64, steps int) ([]int, error) {
	tableau, err := ode.Lookup(s.Solver)
	if err != nil {
		return nil, err
	}
	if err := s.label(base); err != nil {
		return nil, err
	}
	d, block := s.Field.Config.Dim(), s.Field.Batch
	flow := func(x, t, dx []float32) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return s.Field.Flow(x, t, dx)
	}
	nfe := make([]int, block)
	if s.Solver == "rk45" {
		var stats ode.Stats
		stats, err = ode.Adaptive(tableau, flow, x, block, d, from, to, ode.Options{RTol: s.RTol, ATol: s.ATol, MaxSteps: s.MaxSteps})
		copy(nfe, stats.NFE)
	} else {
		var each int
		each, err = ode.Fixed(tableau, flow, x, block, d, from, to, steps)
		for i := range nfe {
			nfe[i] = each
		}
	}
	if err == nil {
		return nfe, nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	var row *ode.RowError
	if errors.As(err, &row) {
		return nil, &Error{Sample: base + row.Row, Err: err}
	}
	return nil, err
}

// label tells the field of what class the rows of a block are.
func (s *Sampler) label(base int) error {
	labels := make([]int, s.Field.Batch)
	for i := range labels {
		labels[i] = potential.NoLabel
		if s.Label != nil {
			labels[i] = s.Label(base + i)
		}
	}
	return s.Field.SetLabels(labels)
}

// Set returns samples x [n, D], in the network's units, as images or points.
func Set(c potential.Config, x []float32, n int) dataset.Set {
	if s := c.Shape; len(s) == 3 {
		pixels := make([]uint8, len(x))
		dataset.Quantize(pixels, x)
		return &dataset.Images{Name: "samples", N: n, C: s[0], H: s[1], W: s[2], Pixels: pixels}
	}
	return &dataset.Points{Name: "samples", N: n, D: c.Dim(), X: x}
}
