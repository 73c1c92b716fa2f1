package dataloader

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"vapo/lib/dataset"
	"vapo/lib/tensorfile"
)

// flow fills the window in the background, starting at a given block.
type flow struct {
	cancel  context.CancelFunc
	done    sync.WaitGroup
	mu      sync.Mutex
	changed sync.Cond
	free    []int32             // unused slots of the arena
	need    int                 // number of slots that the next block waits for; 0 if it does not wait
	blocks  map[int64]*resident // blocks in the arena by their numbers, which count from the start of training
	err     error               // why no more blocks will come
}

// resident is a block whose rows are in the arena.
type resident struct {
	from  int     // index in the data set of the block's first sample
	slots []int32 // slot of each row
	left  int     // number of rows that At has not returned yet
}

// pending is a block that is being read.
type pending struct {
	from int
	set  dataset.Set
	err  error
	done chan struct{}
}

// start begins to fill the window from the block with the number first. Blocks are numbered from the start of training.
func (s *Stream) start(first int64) *flow {
	ctx, cancel := context.WithCancel(s.ctx)
	f := &flow{cancel: cancel, blocks: map[int64]*resident{}}
	f.changed.L = &f.mu
	for i := range s.arena.slots {
		f.free = append(f.free, int32(s.arena.slots-1-i))
	}
	queue := make(chan *pending, prefetch)
	f.done.Go(func() { s.request(ctx, f, first, queue) })
	f.done.Go(func() {
		err := s.fill(ctx, f, first, queue)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.err = err
		f.changed.Broadcast()
	})
	// fill waits for f.changed, so wake it when the context ends.
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.changed.Broadcast()
	})
	return f
}

// request reads blocks concurrently, in the order in which they are needed. The capacity of queue limits how many
// blocks are read ahead.
func (s *Stream) request(ctx context.Context, f *flow, first int64, queue chan<- *pending) {
	order := *s.order // a copy, because an order is not safe for concurrent use
	order.permuted = nil
	var rank []int // position of each block in the next epoch
	var epoch uint64
	for k := first; ; k++ {
		e, block := order.block(k)
		if rank == nil || e != epoch {
			epoch, rank = e, make([]int, order.blocks)
			for r, b := range order.permute(e + 1) {
				rank[b] = r
			}
		}
		from, to := order.span(block)
		p := &pending{from: from, done: make(chan struct{})}
		select {
		case queue <- p:
		case <-ctx.Done():
			return
		}
		next := (int64(e)+1)*int64(order.blocks) + int64(rank[block])
		f.done.Go(func() {
			defer close(p.done)
			p.set, p.err = s.load(block, from, to, next)
		})
	}
}

// load reads a block, samples [from, to), from the cache or from the file. next says when the block is needed again;
// see kept.next.
func (s *Stream) load(block, from, to int, next int64) (dataset.Set, error) {
	var t *tensorfile.Table
	var err error
	if s.cache != nil {
		if t, err = s.cache.get(block, next); err != nil {
			return nil, err
		}
	}
	if t == nil {
		if t, err = s.file.Slice(from, to); err != nil {
			return nil, fmt.Errorf("samples %d to %d: %w", from, to-1, err)
		}
		s.read.Add(1)
		if s.cache != nil {
			if err := s.cache.put(block, next, t); err != nil {
				return nil, err
			}
		}
	}
	set, err := dataset.FromTable(t)
	if err != nil {
		return nil, fmt.Errorf("samples %d to %d: %w", from, to-1, err)
	}
	return set, nil
}

// fill moves blocks into the arena as slots become free.
func (s *Stream) fill(ctx context.Context, f *flow, first int64, queue <-chan *pending) error {
	for k := first; ; k++ {
		var p *pending
		select {
		case p = <-queue:
			<-p.done
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if p.err != nil {
			return p.err
		}
		n := p.set.Len()
		f.mu.Lock()
		f.need = n
		for len(f.free) < n && ctx.Err() == nil {
			f.changed.Wait()
		}
		f.need = 0
		if ctx.Err() != nil {
			f.mu.Unlock()
			return context.Cause(ctx)
		}
		r := &resident{from: p.from, left: n, slots: slices.Clone(f.free[len(f.free)-n:])}
		f.free = f.free[:len(f.free)-n]
		f.mu.Unlock()
		s.arena.put(p.set, r.slots)
		f.mu.Lock()
		f.blocks[k] = r
		f.changed.Broadcast()
		f.mu.Unlock()
	}
}
