package main

// ahead draws the batch of the next step while the engine computes the one before it. Batches are functions of the seed
// and the step, so when they are drawn changes nothing else.
type ahead struct {
	r     runner
	end   int64
	next  [][]float32
	drawn chan error // says when next holds the next step's batch; nil where none is being drawn
}

// newAhead prepares the steps before end.
func newAhead(r runner, end int64) *ahead {
	a := &ahead{r: r, end: end}
	for _, v := range r.step().Batch {
		a.next = append(a.next, make([]float32, len(v)))
	}
	return a
}

// take puts the batch of a step in its place and begins with the next step's. Steps are taken one after the other.
func (a *ahead) take(step int64) error {
	var err error
	if a.drawn == nil {
		err = a.r.fill(step, a.next)
	} else {
		err, a.drawn = <-a.drawn, nil
	}
	if err != nil {
		return err
	}
	a.next = a.r.step().SwapBatch(a.next)
	if step+1 < a.end {
		a.drawn = make(chan error, 1)
		go func(batch [][]float32, drawn chan<- error) {
			drawn <- a.r.fill(step+1, batch)
		}(a.next, a.drawn)
	}
	return nil
}

// finish waits for a batch that is being drawn, so that the data can be closed.
func (a *ahead) finish() {
	if a.drawn != nil {
		<-a.drawn
	}
}
