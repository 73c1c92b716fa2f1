package data

import "vapo/lib/training"

// Prefetcher draws the batch of the next step, and copies it to the engine, while the engine computes the current step.
// This changes only the speed, because a batch depends only on the seed and the step.
type Prefetcher struct {
	fill          func(step int64, b *training.Batch) error
	trainer       *training.Trainer
	end           int64
	current, next *training.Batch
	drawn         chan error // receives the result of drawing next; nil if no draw was started
}

// NewPrefetcher returns a Prefetcher for the steps before end. fill draws the batch of a step.
func NewPrefetcher(fill func(step int64, b *training.Batch) error, t *training.Trainer, end int64) *Prefetcher {
	return &Prefetcher{fill: fill, trainer: t, end: end, current: t.NewBatch(), next: t.NewBatch()}
}

// Take returns the batch of a step and starts drawing the batch of the next step. The batch is valid until the next
// call. Steps must be taken in order.
func (p *Prefetcher) Take(step int64) (*training.Batch, error) {
	var err error
	if p.drawn == nil {
		err = p.draw(step, p.next)
	} else {
		err, p.drawn = <-p.drawn, nil
	}
	if err != nil {
		return nil, err
	}
	p.current, p.next = p.next, p.current
	if step+1 < p.end {
		p.drawn = make(chan error, 1)
		go func(b *training.Batch, drawn chan<- error) { drawn <- p.draw(step+1, b) }(p.next, p.drawn)
	}
	return p.current, nil
}

func (p *Prefetcher) draw(step int64, b *training.Batch) error {
	if err := p.fill(step, b); err != nil {
		return err
	}
	return p.trainer.Upload(b)
}

// Close waits for a batch that is being drawn. Only then may the data be closed.
func (p *Prefetcher) Close() {
	if p.drawn != nil {
		<-p.drawn
	}
}
