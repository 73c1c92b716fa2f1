package main

import (
	"context"
	"fmt"
	"slices"

	"vapo/lib/backend"
	"vapo/lib/dataset"
	"vapo/lib/draw"
	"vapo/lib/engine"
	"vapo/lib/feature"
	"vapo/lib/homotopy"
	"vapo/lib/potential"
	"vapo/lib/stage"
	"vapo/lib/training"
)

// runner is what the loop needs to know of a network in training.
type runner interface {
	step() *training.Step
	// fill draws the batch of a step, a pure function of (seed, step), into slices like those of step().Batch.
	fill(step int64, batch [][]float32)
}

// unfit says why no step could be compiled: for want of memory, or because network and data do not fit.
func unfit(err error) error {
	if e := engine.Explain(err); e != err {
		return e
	}
	return stage.Fail(stage.ExitInput, "", "%w", err)
}

// shuffler walks through n samples in an order that is a function of (seed, epoch).
type shuffler struct {
	seed  uint64
	n     int
	epoch uint64
	perm  []int
}

// at returns the sample at a position counted from the start of training.
func (s *shuffler) at(position int64) int {
	epoch := uint64(position / int64(s.n))
	if s.perm == nil || s.epoch != epoch {
		s.epoch, s.perm = epoch, draw.New(s.seed, "train/shuffle", epoch).Perm(s.n)
	}
	return s.perm[position%int64(s.n)]
}

// loader copies samples into batches in [-1, 1].
type loader struct {
	order  shuffler
	images *dataset.Images
	points *dataset.Points
	flip   bool
}

func newLoader(p *params, set dataset.Set) *loader {
	l := &loader{order: shuffler{seed: p.Seed, n: set.Len()}, flip: p.Flip}
	l.images, _ = set.(*dataset.Images)
	l.points, _ = set.(*dataset.Points)
	return l
}

// fill copies the samples of a step to dst and calls each with their indices.
func (l *loader) fill(dst []float32, step int64, batch int, each func(row, sample int)) {
	d := len(dst) / batch
	var coin *draw.Source
	if l.flip {
		coin = draw.New(l.order.seed, "train/flip", uint64(step))
	}
	for row := range batch {
		i := l.order.at(step*int64(batch) + int64(row))
		out := dst[row*d : (row+1)*d]
		if l.points != nil {
			copy(out, l.points.Point(i))
		} else {
			feature.Scale(out, l.images.Image(i))
			if coin != nil && coin.IntN(2) == 1 {
				mirror(out, l.images.W)
			}
		}
		if each != nil {
			each(row, i)
		}
	}
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
	labels *teller // nil where none are told
	path   homotopy.Schedule
	field  *fieldCheck
}

func newPotentialRun(be backend.Backend, p *params, set dataset.Set) (*potentialRun, error) {
	if p.Model != "mlp" {
		if _, err := images(set, p.Model); err != nil {
			return nil, err
		}
	}
	c, err := p.potentialConfig(set.Shape())
	if err != nil {
		return nil, stage.Fail(stage.ExitInput, "choose a network that fits the data", "%w", err)
	}
	labels, err := newTeller(p, set)
	if err != nil {
		return nil, err
	}
	c.Classes = labels.count()
	s, err := training.Potential(be, c, p.Objective, p.optimiser(), p.Batch)
	if err != nil {
		return nil, unfit(err)
	}
	path, err := c.Path()
	if err != nil {
		return nil, err
	}
	s.Seed = p.Seed
	r := &potentialRun{s: s, p: p, config: c, data: newLoader(p, set), labels: labels, path: homotopy.ForObjective(path, p.Objective)}
	if p.FieldEvery > 0 {
		if r.field, err = newFieldCheck(be, c, p.Seed, set); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *potentialRun) step() *training.Step { return r.s }

func (r *potentialRun) fill(step int64, b [][]float32) {
	r.data.fill(b[training.BatchX], step, r.p.Batch, r.labels.fill(step, b))
	draw.New(r.p.Seed, "train/noise", uint64(step)).Normal(b[training.BatchNoise])
	// One time in each of Batch equal strata: uniform as a whole, with less variance than independent draws
	// (Kingma et al., arXiv 2107.00630, appendix I.1).
	times := draw.New(r.p.Seed, "train/time", uint64(step))
	var columns [homotopy.Columns][]float32
	copy(columns[:], b[training.BatchTimes:])
	for i := range r.p.Batch {
		u := (float64(i) + times.Uniform64()) / float64(r.p.Batch)
		homotopy.Fill(r.path, r.path.Draw(u), i, &columns)
	}
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

func newClassifierRun(ctx context.Context, job *stage.Job, be backend.Backend, p *params, set dataset.Set) (*classifierRun, error) {
	im, err := images(set, p.Model)
	if err != nil {
		return nil, err
	}
	classes, err := classesOf("a classifier", im.N, im.Labels, im.Classes)
	if err != nil {
		return nil, err
	}
	c := p.classifierConfig(im.Shape(), classes)
	s, err := training.Classifier(be, c, p.optimiser(), p.Batch)
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
		return nil, stage.Fail(stage.ExitInput, "give the output test of the prep that made the data",
			"input test: %d images of shape %v with %d labels, expected labelled ones of shape %v as in data", r.test.N, r.test.Shape(), len(r.test.Labels), im.Shape())
	}
	return r, nil
}

func (r *classifierRun) step() *training.Step { return r.s }

func (r *classifierRun) fill(step int64, b [][]float32) {
	labels := b[training.BatchLabels]
	clear(labels)
	r.data.fill(b[training.BatchImages], step, r.p.Batch, func(row, sample int) {
		labels[row*r.classes+int(r.im.Labels[sample])] = 1
	})
}

// accuracy is the share of test images that the averaged weights classify rightly.
func (r *classifierRun) accuracy() (float64, error) {
	weights, err := r.s.Averages()
	if err != nil {
		return 0, err
	}
	n, err := feature.NewClassifier(r.be, r.config, weights)
	if err != nil {
		return 0, err
	}
	a, err := n.Accuracy(r.test)
	if err != nil {
		return 0, stage.Fail(stage.ExitInput, "", "input test: %w", err)
	}
	return a, nil
}
