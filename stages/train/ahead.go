package main

import "vapo/lib/training"

// batch is what a step works on.
type batch struct {
	inputs [][]float32 // of the whole step's samples, as training.Step.Batch is of a micro-batch's
	u      []float64   // where each sample is on the path, a fraction of the training variable; empty for a classifier
	parts  []part      // the same by micro-batches
}

// part is a micro-batch: samples k, k+m, k+2m, … of the step's with m of them, so that each has times from all over.
type part struct {
	inputs [][]float32
	u      []float64
}

// newBatch makes room for a step's batch of n samples.
func newBatch(s *training.Step, n int, timed bool) *batch {
	b := &batch{parts: make([]part, s.Micro())}
	for _, v := range s.Batch {
		b.inputs = append(b.inputs, make([]float32, len(b.parts)*len(v)))
	}
	if timed {
		b.u = make([]float64, n)
	}
	if len(b.parts) == 1 {
		b.parts[0] = part{b.inputs, b.u}
		return b
	}
	for k := range b.parts {
		p := part{u: make([]float64, len(b.u)/len(b.parts))}
		for _, v := range s.Batch {
			p.inputs = append(p.inputs, make([]float32, len(v)))
		}
		b.parts[k] = p
	}
	return b
}

// deal gives the samples of the step to its micro-batches, in turn. n is their number.
func (b *batch) deal(n int) {
	m := len(b.parts)
	if m == 1 {
		return // the whole is the part
	}
	for i := range n {
		p := &b.parts[i%m]
		for k, v := range b.inputs {
			size := len(v) / n
			copy(p.inputs[k][i/m*size:(i/m+1)*size], v[i*size:])
		}
		if len(b.u) > 0 {
			p.u[i/m] = b.u[i]
		}
	}
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
