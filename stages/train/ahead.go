package main

import "vapo/lib/training"

// batch is what a step works on: the inputs of its micro-batches one after the other.
type batch struct {
	inputs [][]float32   // of the whole step, as training.Step.Batch is of a micro-batch
	u      []float64     // where each sample is on the path, a fraction of the training variable; nil for a classifier
	parts  [][][]float32 // of each micro-batch, slices of inputs
}

// newBatch makes room for a step's batch of n samples.
func newBatch(s *training.Step, n int, timed bool) *batch {
	b := &batch{}
	micro := s.Micro()
	for _, v := range s.Batch {
		b.inputs = append(b.inputs, make([]float32, micro*len(v)))
	}
	for k := range micro {
		var part [][]float32
		for i, v := range s.Batch {
			part = append(part, b.inputs[i][k*len(v):(k+1)*len(v):(k+1)*len(v)])
		}
		b.parts = append(b.parts, part)
	}
	if timed {
		b.u = make([]float64, n)
	}
	return b
}

// ahead draws the batch of the next step while the engine computes the one before it. Batches are functions of the seed
// and the step, so when they are drawn changes nothing else.
type ahead struct {
	r         runner
	end       int64
	now, next *batch
	drawn     chan error // says when next holds the next step's batch; nil where none is being drawn
}

// newAhead prepares the steps before end.
func newAhead(r runner, end int64) *ahead {
	return &ahead{r: r, end: end, now: r.batch(), next: r.batch()}
}

// take returns the batch of a step, which is whole until the next one is taken, and begins with the next step's. Steps are
// taken one after the other.
func (a *ahead) take(step int64) (*batch, error) {
	var err error
	if a.drawn == nil {
		err = a.r.fill(step, a.next)
	} else {
		err, a.drawn = <-a.drawn, nil
	}
	if err != nil {
		return nil, err
	}
	a.now, a.next = a.next, a.now
	if step+1 < a.end {
		a.drawn = make(chan error, 1)
		go func(b *batch, drawn chan<- error) { drawn <- a.r.fill(step+1, b) }(a.next, a.drawn)
	}
	return a.now, nil
}

// finish waits for a batch that is being drawn, so that the data can be closed.
func (a *ahead) finish() {
	if a.drawn != nil {
		<-a.drawn
	}
}
