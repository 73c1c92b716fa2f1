package dataloader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"vapo/lib/dataset"
	"vapo/lib/tensorfile"
)

// ahead is how many blocks are read at once, beyond the window: enough to hide a request's time behind others.
const ahead = 3

// Options are how a Stream reads.
type Options struct {
	Seed   uint64
	Limits Limits
	// CacheBytes bounds what is kept in a file in Dir, for blocks to be read again in a later epoch; 0 for data that is
	// as near as that file would be.
	CacheBytes int64
	Dir        string
}

// Stats says what a Stream has done.
type Stats struct {
	ReadBlocks  int64 // blocks read from the data
	CacheBlocks int64 // blocks found in the cache
	CacheBytes  int64 // the cache's file at its longest
}

// Stream gives the samples of data that are read as they are needed: the blocks of the next window come in the background,
// each row into the place of a sample that has been given out. So memory holds one window, two blocks and those
// being read; see Limits.
type Stream struct {
	ctx     context.Context
	file    *tensorfile.File
	head    dataset.Set
	opt     Options
	order   *Order
	cache   *cache // nil: none
	read    atomic.Int64
	arena   arena
	next    int64 // the position that is cheap
	held    int32 // place of the sample given out last, -1 for none
	current *flow // nil before the first sample
}

// OpenStream opens a tensor file of size bytes that holds a data set. Reading ends with ctx. Errors are those of
// tensorfile.Open and dataset.FromTable, or those of r; a data set without samples is an error.
func OpenStream(ctx context.Context, r io.ReaderAt, size int64, opt Options) (*Stream, error) {
	file, err := tensorfile.Open(r, size)
	if err != nil {
		return nil, err
	}
	empty, err := file.Empty()
	if err != nil {
		return nil, err
	}
	head, err := dataset.FromTable(empty)
	if err != nil {
		return nil, err
	}
	if file.Rows() == 0 {
		return nil, &dataset.TableError{Reason: "it has no samples"}
	}
	s := &Stream{ctx: ctx, file: file, head: head, opt: opt, held: -1}
	s.order = NewOrder(opt.Seed, file.Rows(), sampleBytes(head), opt.Limits)
	if opt.CacheBytes > 0 {
		place, err := placeBytes(empty, s.order.rows)
		if err != nil {
			return nil, err
		}
		if s.cache, err = newCache(opt.Dir, opt.CacheBytes, place); err != nil {
			return nil, err
		}
	}
	if s.arena, err = newArena(head, s.order.WindowRows()+2*s.order.rows); err != nil {
		return nil, errors.Join(err, s.closeCache())
	}
	return s, nil
}

// placeBytes bounds the bytes of a block of rows in the cache.
func placeBytes(empty *tensorfile.Table, rows int) (int64, error) {
	var b bytes.Buffer
	if err := tensorfile.Write(&b, empty); err != nil {
		return 0, err
	}
	// Headers and padding of each record batch, and of each column in it.
	batches := (rows + tensorfile.BatchRows - 1) / tensorfile.BatchRows
	n := int64(b.Len()) + int64(batches)*int64(1024+256*len(empty.Columns))
	for _, c := range empty.Columns {
		width := 8
		switch c.Data.(type) {
		case []uint8:
			width = 1
		case []float32:
			width = 4
		}
		n += int64(rows) * int64(c.Size()*width)
	}
	return n, nil
}

// Set returns the data set without its samples: their shape, and what is known of them as a whole.
func (s *Stream) Set() dataset.Set { return s.head }

// Head returns the first n samples in the order of the file (all where there are fewer), in memory of their own.
func (s *Stream) Head(n int) (dataset.Set, error) {
	t, err := s.file.Slice(0, min(n, s.file.Rows()))
	if err != nil {
		return nil, err
	}
	return dataset.FromTable(t)
}

// Labels reads the label of every sample, or returns nil where the data have none.
func (s *Stream) Labels() ([]int64, error) {
	t, err := s.file.Slice(0, s.file.Rows(), dataset.LabelColumn)
	var none *tensorfile.MissingColumnError
	if errors.As(err, &none) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return tensorfile.Values[int64](&t.Columns[0])
}

// Len implements Samples.
func (s *Stream) Len() int { return s.order.n }

// WindowBytes returns the memory that samples take.
func (s *Stream) WindowBytes() int64 { return s.arena.bytes() }

// Stats may be called at any time.
func (s *Stream) Stats() Stats {
	var st Stats
	if s.cache != nil {
		s.cache.mu.Lock()
		st = s.cache.stats
		s.cache.mu.Unlock()
	}
	st.ReadBlocks = s.read.Load()
	return st
}

// At implements Samples. A position that does not follow the last one costs reading its window anew.
func (s *Stream) At(position int64) (Sample, error) {
	if s.current == nil || position != s.next {
		s.stop()
		windowRows := int64(s.order.window * s.order.rows)
		n := int64(s.order.n)
		start := position - position%n + position%n/windowRows*windowRows
		block, _ := s.order.locate(start)
		s.current = s.start(block - block%int64(s.order.blocks)%int64(s.order.window))
		for s.next = start; s.next < position; {
			if _, err := s.take(); err != nil {
				return Sample{}, err
			}
		}
	}
	return s.take()
}

// take gives the next sample, and its place to one of the next window when the one after it is taken.
func (s *Stream) take() (Sample, error) {
	f := s.current
	block, row := s.order.locate(s.next)
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.held >= 0 {
		f.free = append(f.free, s.held)
		s.held = -1
		if f.need > 0 && len(f.free) >= f.need {
			f.changed.Broadcast()
		}
	}
	for f.blocks[block] == nil && f.err == nil {
		f.changed.Wait()
	}
	b := f.blocks[block]
	if b == nil {
		return Sample{}, f.err
	}
	s.held = b.places[row]
	if b.left--; b.left == 0 {
		delete(f.blocks, block)
	}
	s.next++
	return s.arena.sample(int(s.held), b.from+row), nil
}

// flow is the filling of the window from one block on.
type flow struct {
	cancel  context.CancelFunc
	done    sync.WaitGroup
	mu      sync.Mutex
	changed sync.Cond
	free    []int32             // places in the arena
	need    int                 // places that a block waits for
	blocks  map[int64]*resident // by the count of blocks since the start of training
	err     error               // why no further block comes
}

// resident is a block in the arena.
type resident struct {
	from   int     // its first sample's index
	places []int32 // by row
	left   int     // rows not given out yet
}

// pending is a block that is being read.
type pending struct {
	from int
	set  dataset.Set
	err  error
	done chan struct{}
}

// start begins to fill the window.
func (s *Stream) start(first int64) *flow {
	ctx, cancel := context.WithCancel(s.ctx)
	f := &flow{cancel: cancel, blocks: map[int64]*resident{}}
	f.changed.L = &f.mu
	for i := range s.arena.places {
		f.free = append(f.free, int32(s.arena.places-1-i))
	}
	queue := make(chan *pending, ahead)
	f.done.Go(func() { s.request(ctx, f, first, queue) })
	f.done.Go(func() {
		err := s.fill(ctx, f, first, queue)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.err = err
		f.changed.Broadcast()
	})
	// Whoever waits for places does not wait for the context.
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.changed.Broadcast()
	})
	return f
}

// request reads blocks in the order of need, a few at once.
func (s *Stream) request(ctx context.Context, f *flow, first int64, queue chan<- *pending) {
	order := *s.order // its permutations are this goroutine's own
	order.permuted = nil
	var rank []int // of the blocks in the epoch after next
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

// load reads a block that is needed again at the count next.
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

// fill moves what has been read into the arena as places become free.
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
		r := &resident{from: p.from, left: n, places: append([]int32(nil), f.free[len(f.free)-n:]...)}
		f.free = f.free[:len(f.free)-n]
		f.mu.Unlock()
		s.arena.put(p.set, r.places)
		f.mu.Lock()
		f.blocks[k] = r
		f.changed.Broadcast()
		f.mu.Unlock()
	}
}

// stop ends the filling.
func (s *Stream) stop() {
	if s.current != nil {
		s.current.cancel()
		s.current.done.Wait()
		s.current, s.held = nil, -1
	}
}

// Close stops reading and gives the window's memory and the cache's disk space back. It is called once.
func (s *Stream) Close() error {
	s.stop()
	return errors.Join(s.arena.free(), s.closeCache())
}

func (s *Stream) closeCache() error {
	if s.cache == nil {
		return nil
	}
	return s.cache.close()
}
