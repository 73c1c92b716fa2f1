package data

import "vapo/lib/training"

// Prefetcher draws the batch of the next step while the engine computes the current step. This changes only the speed,
// because a batch depends only on the seed and the step.
type Prefetcher struct {
	fill          func(step int64, b *training.Batch) error
	end           int64
	current, next *training.Batch
	drawn         chan error // receives the result of drawing next; nil if no draw was started
}

// NewPrefetcher returns a Prefetcher for the steps before end. fill draws the batch of a step.
func NewPrefetcher(fill func(step int64, b *training.Batch) error, t *training.Trainer, end int64) *Prefetcher {
	return &Prefetcher{fill: fill, end: end, current: t.NewBatch(), next: t.NewBatch()}
}

// Take returns the batch of a step and starts drawing the batch of the next step. The batch is valid until the next
// call. Steps must be taken in order.
func (p *Prefetcher) Take(step int64) (*training.Batch, error) {
	var err error
	if p.drawn == nil {
		err = p.fill(step, p.next)
	} else {
		err, p.drawn = <-p.drawn, nil
	}
	if err != nil {
		return nil, err
	}
	p.current, p.next = p.next, p.current
	if step+1 < p.end {
		p.drawn = make(chan error, 1)
		go func(b *training.Batch, drawn chan<- error) { drawn <- p.fill(step+1, b) }(p.next, p.drawn)
	}
	return p.current, nil
}

// Close waits for a batch that is being drawn. Only then may the data be closed.
func (p *Prefetcher) Close() {
	if p.drawn != nil {
		<-p.drawn
	}
}
