package dataloader

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/tensorfile"
)

// prefetch is the number of blocks that are read ahead, before the window has free slots for them. It is large enough
// to hide the latency of a request.
const prefetch = 3

// Options are the options of OpenStream.
type Options struct {
	Seed   uint64
	Limits Limits
	// CacheBytes limits the size of a file in Dir that keeps blocks for later epochs. 0 means no cache, for data that are
	// already on a local disk.
	CacheBytes int64
	Dir        string
}

// Stats counts what a Stream has read.
type Stats struct {
	ReadBlocks  int64 // blocks read from the data
	CacheBlocks int64 // blocks found in the cache
	CacheBytes  int64 // maximum size of the cache file
}

// Stream returns the samples of a tensor file and reads the file in the background. Each new row takes the slot of a
// sample that At has already returned. So memory holds one window, two more blocks and the blocks being read; see
// Limits.
type Stream struct {
	ctx     context.Context
	file    *tensorfile.File
	head    dataset.Set
	order   *order
	cache   *cache // nil if there is no cache
	read    atomic.Int64
	arena   arena
	next    int64 // the only position from which At continues without rereading a window
	held    int32 // slot of the sample returned last; -1 if none
	current *flow // nil before the first sample
}

// OpenStream opens the tensor file in r, of size bytes, which must hold a data set with at least one sample. The stream
// stops reading when ctx is cancelled. Errors include those of r, tensorfile.Open and dataset.FromTable.
func OpenStream(ctx context.Context, r io.ReaderAt, size int64, opt Options) (*Stream, error) {
	file, err := tensorfile.Open(r, size)
	if err != nil {
		return nil, err
	}
	empty, err := file.Slice(0, 0)
	if err != nil {
		return nil, err
	}
	head, err := dataset.FromTable(empty)
	if err != nil {
		return nil, err
	}
	if file.Rows() == 0 {
		return nil, failure.New(failure.Input, "", "not a data set: it has no samples")
	}
	s := &Stream{ctx: ctx, file: file, head: head, held: -1}
	s.order = newOrder(opt.Seed, file.Rows(), sampleBytes(head), opt.Limits)
	if opt.CacheBytes > 0 {
		slot, err := slotBytes(empty, s.order.rows)
		if err != nil {
			return nil, err
		}
		if s.cache, err = newCache(opt.Dir, opt.CacheBytes, slot); err != nil {
			return nil, err
		}
	}
	if s.arena, err = newArena(head, s.order.WindowRows()+2*s.order.rows); err != nil {
		return nil, errors.Join(err, s.closeCache())
	}
	return s, nil
}

// slotBytes returns an upper bound on the size in bytes of a cached block with the given number of rows.
func slotBytes(empty *tensorfile.Table, rows int) (int64, error) {
	var b bytes.Buffer
	if err := tensorfile.Write(&b, empty); err != nil {
		return 0, err
	}
	// Allow for the headers and padding of each record batch and of its columns.
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

// Set returns the data set without its samples, for its name, shape and classes.
func (s *Stream) Set() dataset.Set { return s.head }

// Head returns a copy of the first n samples in file order, or of all samples if there are fewer.
func (s *Stream) Head(n int) (dataset.Set, error) {
	t, err := s.file.Slice(0, min(n, s.file.Rows()))
	if err != nil {
		return nil, err
	}
	return dataset.FromTable(t)
}

// Labels reads the label of every sample, or returns nil if the data have none.
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

// WindowBytes returns the size in bytes of the memory that holds samples.
func (s *Stream) WindowBytes() int64 { return s.arena.bytes() }

// Stats returns the counts so far. It is safe for concurrent use.
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

// At implements Samples. If position does not follow the previous one, At restarts reading at the beginning of the
// window that contains position.
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

// take returns the next sample and frees the slot of the previous one.
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
	s.held = b.slots[row]
	if b.left--; b.left == 0 {
		delete(f.blocks, block)
	}
	s.next++
	return s.arena.sample(int(s.held), b.from+row), nil
}

// stop ends the background reading and waits until it has ended.
func (s *Stream) stop() {
	if s.current != nil {
		s.current.cancel()
		s.current.done.Wait()
		s.current, s.held = nil, -1
	}
}

// Close stops reading and releases the window's memory and the cache's disk space. It must be called once.
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
