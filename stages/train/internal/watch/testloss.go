package watch

import (
	"slices"

	"vapo/lib/backend"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/potential"
	"vapo/lib/random"
	"vapo/lib/training"
	"vapo/stages/train/internal/data"
)

// testSamples limits the test samples that are measured: the first ones are used.
const testSamples = 10000

// TestLoss measures the loss of a potential on the test input, for each bin of training time. Every run gets the same
// noise and the same times. These times are spread evenly over the training variable, whichever times the run trains
// on, so that the losses of runs with the same schedule can be compared.
type TestLoss struct {
	loss *training.TestLoss
	draw *data.Batches
	set  dataset.Set
	// labels are those of the set. They are nil if the network is not conditional.
	labels []int64
}

// NewTestLoss compiles the loss for batches of n samples. The set must have the network's shape and, for a conditional
// network, labels of the same classes as the training data.
func NewTestLoss(
	be backend.Backend, c potential.Config, objective string, n int, draw *data.Batches, set dataset.Set,
) (*TestLoss, error) {
	if !slices.Equal(set.Shape(), c.Shape) {
		return nil, failure.New(failure.Input, data.TestHint,
			"input test: samples of shape %v, expected %v, as in the input data", set.Shape(), c.Shape)
	}
	if set.Len() < training.BinCount {
		return nil, failure.New(failure.Input, "give a larger test set",
			"input test: %d samples, expected at least %d: one for each bin of training time",
			set.Len(), training.BinCount)
	}
	l := &TestLoss{draw: draw, set: set.Head(testSamples)}
	if c.Classes > 0 {
		if err := draw.Source.CheckClasses(set); err != nil {
			return nil, err
		}
		l.labels = dataset.LabelsOf(l.set)
		if len(l.labels) != l.set.Len() || slices.Min(l.labels) < 0 || slices.Max(l.labels) >= int64(c.Classes) {
			return nil, failure.New(failure.Input, data.TestHint,
				"input test: %d samples with %d labels, expected one label each, from 0 to %d", l.set.Len(),
				len(l.labels), c.Classes-1)
		}
	}
	var err error
	l.loss, err = training.NewTestLoss(be, c, objective, min(n, l.set.Len()))
	return l, err
}

// Measure returns the mean loss of the averaged weights in each bin. The loss is per dimension and is not weighted by
// time.
func (l *TestLoss) Measure(t *training.Trainer) (bins [training.BinCount]float64, err error) {
	weights, err := t.Averages(0)
	if err != nil {
		return bins, err
	}
	losses, err := l.loss.Measure(weights, l.set.Len(), func(i, row int, b *training.Batch) {
		from := random.New(0, "train/test", uint64(i))
		u := (float64(i%training.BinCount) + from.Uniform64()) / training.BinCount
		from.Normal(b.SampleNoise(row))
		b.SetTime(row, l.draw.Path, l.draw.Path.Draw(u))
		l.set.Row(b.Sample(row), i)
		if l.labels != nil {
			b.SetLabel(row, int(l.labels[i]))
		}
	})
	for i, v := range losses {
		bins[i%training.BinCount] += float64(v)
	}
	for k := range bins { // bin k has samples k, k + BinCount, …
		bins[k] /= float64((len(losses) - k + training.BinCount - 1) / training.BinCount)
	}
	return bins, err
}

// Len returns the number of samples that Measure uses.
func (l *TestLoss) Len() int { return l.set.Len() }
