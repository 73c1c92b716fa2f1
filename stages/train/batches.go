package main

import (
	"context"
	"fmt"
	"math"
	"slices"

	"vapo/lib/backend"
	"vapo/lib/dataloader"
	"vapo/lib/dataset"
	"vapo/lib/engine"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/homotopy"
	"vapo/lib/potential"
	"vapo/lib/random"
	"vapo/lib/stage"
	"vapo/lib/training"
)

// runner is what the loop needs to know of a network in training.
type runner interface {
	step() *training.Step
	// batch makes room for the batch of a step.
	batch() *batch
	// fill draws the batch of a step, a pure function of (seed, step). It fails where the data do.
	fill(step int64, b *batch) error
}

// unfit says why no step could be compiled: for want of memory, or because network and data do not fit.
func unfit(err error) error {
	if e := engine.Explain(err); e != err {
		return e
	}
	return failure.New(failure.Input, "", "%w", err)
}

// loader copies samples into batches in [-1, 1].
type loader struct {
	samples dataloader.Samples
	seed    uint64
	flip    bool
	width   int // of an image
}

func newLoader(p *params, d *data) *loader {
	shape := d.Shape()
	return &loader{samples: d.samples, seed: p.Seed, flip: p.Flip, width: shape[len(shape)-1]}
}

// fill copies the samples of a step to dst and calls each with their indices.
func (l *loader) fill(dst []float32, step int64, batch int, each func(row, sample int)) error {
	d := len(dst) / batch
	var coin *random.Source
	if l.flip {
		coin = random.New(l.seed, "train/flip", uint64(step))
	}
	for row := range batch {
		s, err := l.samples.At(step*int64(batch) + int64(row))
		if err != nil {
			return badData("data", err)
		}
		out := dst[row*d : (row+1)*d]
		if s.Pixels == nil {
			copy(out, s.Point)
		} else {
			feature.Scale(out, s.Pixels)
			if coin != nil && coin.IntN(2) == 1 {
				mirror(out, l.width)
			}
		}
		if each != nil {
			each(row, s.Index)
		}
	}
	return nil
}

// mirror reverses every row of width w.
func mirror(v []float32, w int) {
	for ; len(v) >= w; v = v[w:] {
		for i, j := 0, w-1; i < j; i, j = i+1, j-1 {
			v[i], v[j] = v[j], v[i]
		}
	}
}

// potentialRun trains Phi.
type potentialRun struct {
	s      *training.Step
	p      *params
	config potential.Config
	data   *loader
	labels *teller           // nil where none are told
	path   homotopy.Schedule // with the weights of its times
	times  homotopy.TimeDistribution
	field  *fieldCheck
}

func newPotentialRun(be backend.Backend, p *params, set *data) (*potentialRun, error) {
	if p.Model != "mlp" {
		if _, err := images(set.Set, p.Model); err != nil {
			return nil, err
		}
	}
	c, err := p.potentialConfig(set.Shape())
	if err != nil {
		return nil, failure.New(failure.Input, "choose a network that fits the data", "%w", err)
	}
	labels, err := newTeller(p, set.Set)
	if err != nil {
		return nil, err
	}
	c.Classes = labels.count()
	o, err := p.optimiser()
	if err != nil {
		return nil, err
	}
	path, times, err := p.path()
	if err != nil {
		return nil, err
	}
	s, err := training.Potential(be, c, p.Objective, o, p.Batch/p.micro())
	if err != nil {
		return nil, unfit(err)
	}
	s.Seed = p.Seed
	r := &potentialRun{s: s, p: p, config: c, data: newLoader(p, set), labels: labels, path: path, times: times}
	if p.FieldEvery > 0 {
		if r.field, err = newFieldCheck(be, c, p.Seed, set.Set); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *potentialRun) step() *training.Step { return r.s }

func (r *potentialRun) batch() *batch { return newBatch(r.s, r.p.Batch, true) }

func (r *potentialRun) fill(step int64, b *batch) error {
	if err := r.data.fill(b.inputs[training.BatchX], step, r.p.Batch, r.labels.fill(step, b.inputs)); err != nil {
		return err
	}
	random.New(r.p.Seed, "train/noise", uint64(step)).Normal(b.inputs[training.BatchNoise])
	// One time in each of Batch equal strata: of the distribution as a whole, with less variance than independent draws
	// (Kingma et al., arXiv 2107.00630, appendix I.1).
	from := random.New(r.p.Seed, "train/time", uint64(step))
	var columns [homotopy.Columns][]float32
	copy(columns[:], b.inputs[training.BatchTimes:])
	for i := range r.p.Batch {
		t := r.times.Time(r.path, (float64(i)+from.Uniform64())/float64(r.p.Batch))
		homotopy.Fill(r.path, t, i, &columns)
		b.u[i] = fraction(r.path, t)
	}
	b.deal(r.p.Batch)
	return nil
}

// fraction is where t is in the schedule's training variable, in [0, 1).
func fraction(path homotopy.Schedule, t float64) float64 {
	from, to := path.Span()
	return min(max(0, (path.Variable(t)-from)/(to-from)), math.Nextafter(1, 0))
}

// classifierRun trains the feature network.
type classifierRun struct {
	s       *training.Step
	p       *params
	data    *loader
	im      *dataset.Images
	test    *dataset.Images // nil where none was given
	config  feature.Classifier
	be      backend.Backend
	classes int
}

func newClassifierRun(ctx context.Context, job *stage.Job, be backend.Backend, p *params, set *data) (*classifierRun, error) {
	im, err := images(set.Set, p.Model)
	if err != nil {
		return nil, err
	}
	classes, err := classesOf("a classifier", im.N, im.Labels, im.Classes)
	if err != nil {
		return nil, err
	}
	c := p.classifierConfig(im.Shape(), classes)
	o, err := p.optimiser()
	if err != nil {
		return nil, err
	}
	s, err := training.Classifier(be, c, o, p.Batch/p.micro())
	if err != nil {
		return nil, unfit(err)
	}
	r := &classifierRun{s: s, p: p, data: newLoader(p, set), im: im, config: c, be: be, classes: classes}
	if !job.HasInput("test") {
		return r, nil
	}
	// Looked at now, so that a wrong input does not cost a whole training.
	test, err := readSet(ctx, job, "test")
	if err != nil {
		return nil, err
	}
	if r.test, err = images(test, p.Model); err != nil {
		return nil, fmt.Errorf("input test: %w", err)
	}
	if len(r.test.Labels) != r.test.N || !slices.Equal(r.test.Shape(), im.Shape()) {
		return nil, failure.New(failure.Input, "give the output test of the prep that made the data",
			"input test: %d images of shape %v with %d labels, expected labelled ones of shape %v as in data", r.test.N, r.test.Shape(), len(r.test.Labels), im.Shape())
	}
	return r, nil
}

func (r *classifierRun) step() *training.Step { return r.s }

func (r *classifierRun) batch() *batch { return newBatch(r.s, r.p.Batch, false) }

func (r *classifierRun) fill(step int64, b *batch) error {
	labels := b.inputs[training.BatchLabels]
	clear(labels)
	err := r.data.fill(b.inputs[training.BatchImages], step, r.p.Batch, func(row, sample int) {
		labels[row*r.classes+int(r.im.Labels[sample])] = 1
	})
	b.deal(r.p.Batch)
	return err
}

// accuracy is the share of test images that the averaged weights classify rightly.
func (r *classifierRun) accuracy() (float64, error) {
	weights, err := r.s.Averages(0)
	if err != nil {
		return 0, err
	}
	n, err := feature.NewClassifier(r.be, r.config, weights)
	if err != nil {
		return 0, err
	}
	a, err := n.Accuracy(r.test)
	if err != nil {
		return 0, failure.New(failure.Input, "", "input test: %w", err)
	}
	return a, nil
}
