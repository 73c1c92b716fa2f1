package main

import (
	"fmt"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/potential"
	"vapo/lib/random"
	"vapo/lib/training"
)

// classesOf is the number of classes that the n labels of a set are of: those it names, or one more than the greatest label.
func classesOf(who string, n int, labels []int64, names []string) (int, error) {
	if len(labels) != n {
		return 0, failure.New(failure.Input, "prepare a labelled data set", "input data: %d samples have %d labels, %s needs one each", n, len(labels), who)
	}
	classes := max(2, len(names))
	for i, l := range labels {
		if l < 0 || l >= potential.MaxClasses {
			return 0, failure.New(failure.Input, "", "input data: sample %d has label %d, expected 0 to %d", i, l, potential.MaxClasses-1)
		}
		classes = max(classes, int(l)+1)
	}
	if classes > potential.MaxClasses {
		return 0, failure.New(failure.Input, "", "input data: it names %d classes, expected at most %d", classes, potential.MaxClasses)
	}
	return classes, nil
}

// teller tells a potential in training the labels of its batches, all but a share that it is to do without: so one
// network learns the flow of each class and that of all (Ho and Salimans, arXiv 2207.12598, algorithm 1).
type teller struct {
	labels  []int64
	classes int
	seed    uint64
	dropout float64
}

// newTeller returns nil where --conditional is not given.
func newTeller(p *params, set dataset.Set) (*teller, error) {
	if !p.Conditional {
		return nil, nil
	}
	t := &teller{seed: p.Seed, dropout: p.LabelDropout}
	var names []string
	switch s := set.(type) {
	case *dataset.Images:
		t.labels, names = s.Labels, s.Classes
	case *dataset.Points:
		t.labels = s.Labels
	default:
		return nil, fmt.Errorf("labels of a %T are not known", set)
	}
	var err error
	t.classes, err = classesOf("--conditional", set.Len(), t.labels, names)
	return t, err
}

// count is the network's number of classes, 0 for a nil teller.
func (t *teller) count() int {
	if t == nil {
		return 0
	}
	return t.classes
}

// fill prepares the labels of a step's batch and returns what to call with each row's sample; nil for a nil teller.
func (t *teller) fill(step int64, batch [][]float32) func(row, sample int) {
	if t == nil {
		return nil
	}
	onehot := batch[training.BatchLabel]
	clear(onehot)
	coins := random.New(t.seed, "train/label-drop", uint64(step))
	return func(row, sample int) {
		if coins.Uniform64() >= t.dropout {
			t.tell(onehot, row, sample)
		}
	}
}

// tell writes a sample's label to a row that is 0.
func (t *teller) tell(onehot []float32, row, sample int) {
	onehot[row*t.classes+int(t.labels[sample])] = 1
}

// checkLabels is what can be said of --conditional and --label-dropout without the data.
func checkLabels(p *params) error {
	if p.Conditional && p.Model == "classifier" {
		return fmt.Errorf("conditional is for potentials; a classifier finds the labels itself")
	}
	if !(p.LabelDropout >= 0 && p.LabelDropout < 1) {
		return fmt.Errorf("label-dropout is %v, expected 0 or more and less than 1", p.LabelDropout)
	}
	return nil
}
