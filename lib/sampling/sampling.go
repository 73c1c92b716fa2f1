// Package sampling integrates the flow of a potential from noise to data.
//
// Two programs draw samples: the stage sample, and the stage train, to monitor its progress. Sample k must be the same
// in both, so on a given engine it is a function of the weights, the seed, k and the solver's settings alone. To this
// end, samples are integrated in blocks, and sample k is row k mod Block of its block. The size of blocks depends only
// on the kind of network and on the engine (see Block). With adaptive steps, on an engine whose rows are independent, a
// sample takes the first free row instead. Because samples depend on the engine, the engine is part of the cache key of
// a result.
//
// The engine runs the network and the solver as one compiled program, so the samples and the stages of the solver stay
// in its memory until a block is finished (see package ode). The program contains the network only once, however many
// stages the solver has.
package sampling

import (
	"context"
	"errors"
	"fmt"

	"vapo/lib/backend"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/graphop"
	"vapo/lib/homotopy"
	"vapo/lib/ode"
	"vapo/lib/potential"
	"vapo/lib/random"
)

// The number of samples per evaluation of a field. imageBlock and pointBlock are for engines whose rows are
// independent; deviceBlock is for other engines, which run on devices with many more processors.
const (
	imageBlock  = 64
	pointBlock  = 256
	deviceBlock = 256
)

// Block is the number of samples that an engine with the given promises evaluates together.
func Block(c potential.Config, p backend.Promises) int {
	switch {
	case !p.Rows:
		return deviceBlock
	case len(c.Shape) == 1:
		return pointBlock
	}
	return imageBlock
}

// Settings are the solver's settings.
type Settings struct {
	Solver   string  // see ode.Lookup
	Steps    int     // number of steps from prior to data; not for rk45
	Grid     string  // distribution of the steps; see homotopy.Grid; "" means equal; not for rk45
	RTol     float64 // rk45: relative tolerance of a step
	ATol     float64 // rk45: absolute tolerance of a step, in units of the data
	MaxSteps int     // rk45: maximum number of steps that one sample may try
	TEnd     float64 // time at which the flow ends, see homotopy.Until; 0 means 1
	Guidance float64 // strength of guidance, see potential.NewGuidedField; 1 is off
}

// Sampler draws samples. It is not safe for concurrent use, since its solver is not.
type Sampler struct {
	Settings
	Config potential.Config
	Block  int // samples that are evaluated together
	solver *ode.Solver
	// Label returns the class of a sample, or potential.NoLabel, given the index of the sample. It must depend on the
	// index alone. If Label is nil, samples are unconditional.
	Label func(sample int) int
}

// New compiles the flow of a network with its solver. weights are keyed by parameter name, without a group prefix.
func New(be backend.Backend, c potential.Config, weights map[string][]float32, set Settings) (*Sampler, error) {
	tableau, err := ode.Lookup(set.Solver)
	if err != nil {
		return nil, err
	}
	var adaptive *ode.Adaptive
	if set.Solver == "rk45" {
		adaptive = &ode.Adaptive{RTol: set.RTol, ATol: set.ATol, MaxSteps: set.MaxSteps}
	}
	flow := func(x, s *graphop.Node) (*graphop.Node, []backend.State, error) {
		return c.Velocity(x, s, set.Guidance)
	}
	s := &Sampler{Settings: set, Config: c, Block: Block(c, be.Promises())}
	if s.solver, err = ode.Compile(be, tableau, flow, s.Block, c.Dim(), adaptive); err != nil {
		return nil, fmt.Errorf("compile the flow of a %s: %w", c.Kind, backend.FixedBatch(err))
	}
	return s, s.Load(weights)
}

// Load replaces the weights.
func (s *Sampler) Load(weights map[string][]float32) error {
	return s.Config.LoadWeights(s.solver.Load, weights)
}

// Work counts evaluations of the velocity. Total is their number over all samples, Samples is the number of samples,
// and Max is the largest number for one sample.
type Work struct{ Total, Samples, Max int }

// Add adds the work for other samples.
func (w *Work) Add(other Work) {
	w.Total += other.Total
	w.Samples += other.Samples
	w.Max = max(w.Max, other.Max)
}

func (w *Work) addSample(nfe int) { w.Add(Work{nfe, 1, nfe}) }

// Mean returns the mean number of evaluations per sample.
func (w Work) Mean() float64 { return float64(w.Total) / float64(max(1, w.Samples)) }

// Error reports a sample that could not be integrated; it wraps an *ode.RowError.
type Error struct {
	Sample int
	Err    error
}

func (e *Error) Error() string {
	return fmt.Sprintf("sample %d could not be integrated: %v", e.Sample, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// FailureClass implements failure.Carrier.
func (e *Error) FailureClass() failure.Class { return failure.Numeric }

// FailureHint implements failure.Carrier.
func (e *Error) FailureHint() string {
	switch {
	case errors.Is(e.Err, ode.ErrMaxSteps):
		return "train longer, or raise the step limit or the tolerances"
	case errors.Is(e.Err, ode.ErrStepSize):
		return "train longer, or raise the tolerances"
	}
	return "train longer, or take smaller steps"
}

// Noise writes the starting point of a sample to dst [D]. It draws the point from the prior N(0, w² I) of the network's
// path, with w = c.PriorStd.
func Noise(c potential.Config, seed uint64, sample int, dst []float32) {
	random.New(seed, "sample/noise", uint64(sample)).Normal(dst)
	if w := float32(c.PriorStd); w != 1 {
		for i := range dst {
			dst[i] *= w
		}
	}
}

// Draw draws samples [first, first+n) of a seed into out [n, D], in the network's units (images in [-1, 1]). If
// progress is not nil, Draw calls it whenever more samples are finished, with their number so far. If a sample cannot
// be integrated, the error is an *Error.
func (s *Sampler) Draw(
	ctx context.Context, seed uint64, first, n int, out []float32, progress func(done int),
) (Work, error) {
	d, block := s.Config.Dim(), s.Block
	if first < 0 || n < 0 || len(out) != n*d {
		return Work{}, fmt.Errorf("draw samples [%d, %d+%d) into %d values, expected %d for each",
			first, first, n, len(out), d)
	}
	if s.solver.Refills() {
		for i := range n {
			Noise(s.Config, seed, first+i, out[i*d:(i+1)*d])
		}
		return s.integrateAll(ctx, first, out, progress)
	}
	var w Work
	x := make([]float32, block*d)
	for base := first - first%block; base < first+n; base += block {
		// Rows outside of the requested range hold their own samples, which costs nothing: blocks are evaluated whole.
		for i := range block {
			Noise(s.Config, seed, base+i, x[i*d:(i+1)*d])
		}
		nfe, err := s.integrateBlock(ctx, base, x)
		if err != nil {
			return w, err
		}
		from, to := max(base, first), min(base+block, first+n)
		copy(out[(from-first)*d:(to-first)*d], x[(from-base)*d:(to-base)*d])
		for i := from; i < to; i++ {
			w.addSample(nfe[i-base])
		}
		if progress != nil {
			progress(to - first)
		}
	}
	return w, nil
}

// Integrate integrates the flow from starting points x [n, D] to data, in place. It calls progress as Draw does.
func (s *Sampler) Integrate(ctx context.Context, x []float32, progress func(done int)) (Work, error) {
	d, block := s.Config.Dim(), s.Block
	if len(x)%d != 0 {
		return Work{}, fmt.Errorf("integrate %d values, expected %d for each sample", len(x), d)
	}
	if s.solver.Refills() {
		return s.integrateAll(ctx, 0, x, progress)
	}
	var w Work
	n := len(x) / d
	rows := make([]float32, block*d)
	for at := 0; at < n; at += block {
		count := min(block, n-at)
		clear(rows)
		copy(rows, x[at*d:(at+count)*d])
		nfe, err := s.integrateBlock(ctx, at, rows)
		if err != nil {
			return w, err
		}
		copy(x[at*d:(at+count)*d], rows)
		for _, e := range nfe[:count] {
			w.addSample(e)
		}
		if progress != nil {
			progress(at + count)
		}
	}
	return w, nil
}

// integrateBlock integrates the flow of one block to data, in place. base is the index of the block's first sample. It
// returns the number of evaluations for each row.
func (s *Sampler) integrateBlock(ctx context.Context, base int, x []float32) ([]int, error) {
	path, err := s.path()
	if err != nil {
		return nil, err
	}
	grid, err := s.grid(path)
	if err != nil {
		return nil, err
	}
	from, to := path.Span()
	return s.integrateSpan(ctx, base, x, span{from, to, s.Steps, grid})
}

// span is a part of the path that is integrated in a number of steps, which are equal unless there is a grid.
type span struct {
	from, to float64
	steps    int
	grid     []float64
}

// grid returns the limits of the steps along the path, or nil if they are equal or adaptive.
func (s *Sampler) grid(path homotopy.Schedule) ([]float64, error) {
	if s.Grid == "" || s.Grid == "equal" || s.Solver == "rk45" {
		return nil, nil
	}
	return homotopy.Grid(s.Grid, path, s.Steps)
}

// integrateAll integrates the flow of samples from starting points x [n, D] to data, in place, where first is the index
// of the first sample. When a sample is finished, the next one takes its row.
func (s *Sampler) integrateAll(ctx context.Context, first int, x []float32, progress func(done int)) (Work, error) {
	path, err := s.path()
	if err != nil {
		return Work{}, err
	}
	from, to := path.Span()
	nfe, err := s.solver.IntegrateAll(ctx, x, from, to, func(rows []int) error {
		return s.setLabels(func(row int) (sample int, used bool) { return first + rows[row], rows[row] >= 0 })
	}, progress)
	if err != nil {
		return Work{}, s.failed(ctx, first, err)
	}
	var w Work
	for _, e := range nfe {
		w.addSample(e)
	}
	return w, nil
}

// path returns the schedule of the network, with TEnd as its end.
func (s *Sampler) path() (homotopy.Schedule, error) {
	path, err := s.Config.Path()
	if err != nil || s.TEnd == 0 {
		return path, err
	}
	if path, err = homotopy.Until(path, s.TEnd); err != nil {
		return nil, fmt.Errorf("--t-end: %w", err)
	}
	return path, nil
}

// integrateSpan integrates like integrateBlock, but only over a part of the path.
func (s *Sampler) integrateSpan(ctx context.Context, base int, x []float32, p span) (nfe []int, err error) {
	err = s.setLabels(func(row int) (sample int, used bool) { return base + row, true })
	if err != nil {
		return nil, err
	}
	if p.grid != nil {
		nfe, err = s.solver.IntegrateGrid(ctx, x, p.grid)
	} else {
		nfe, err = s.solver.Integrate(ctx, x, p.from, p.to, p.steps)
	}
	return nfe, s.failed(ctx, base, err)
}

// failed converts the error of an integration whose first row was sample base. It returns nil if err is nil.
func (s *Sampler) failed(ctx context.Context, base int, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var row *ode.RowError
	if errors.As(err, &row) {
		return &Error{Sample: base + row.Row, Err: err}
	}
	return backend.FixedBatch(err)
}

// setLabels sets the classes of the rows of a block. at returns the sample of a row, and whether the row holds one.
func (s *Sampler) setLabels(at func(row int) (sample int, used bool)) error {
	labels := make([]int, s.Block)
	for i := range labels {
		labels[i] = potential.NoLabel
		if sample, used := at(i); used && s.Label != nil {
			labels[i] = s.Label(sample)
		}
	}
	v := make([]float32, s.Block*s.Config.Classes)
	if err := s.Config.OneHot(v, labels); err != nil || s.Config.Classes == 0 {
		return err
	}
	return s.solver.Load(potential.LabelState, backend.F32(v))
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
