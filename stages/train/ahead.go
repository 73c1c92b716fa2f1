package main

// ahead draws the batch of the next step while the engine computes the one before it. Batches are functions of the seed
// and the step, so when they are drawn changes nothing else.
type ahead struct {
	r     runner
	end   int64
	next  [][]float32
	drawn chan struct{} // closed when next holds the next step's batch; nil at first
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
func (a *ahead) take(step int64) {
	if a.drawn == nil {
		a.r.fill(step, a.next)
	} else {
		<-a.drawn
	}
	a.next = a.r.step().SwapBatch(a.next)
	a.drawn = make(chan struct{})
	if step+1 < a.end {
		go func(batch [][]float32, drawn chan struct{}) {
			a.r.fill(step+1, batch)
			close(drawn)
		}(a.next, a.drawn)
	}
}
