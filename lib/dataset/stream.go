package dataset

import (
	"context"
	"errors"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// Stream is a split of images that is made as it is read, a few at a time, because it need not fit into memory.
type Stream struct {
	// Like is the set without its images: name, split, shape and classes. Its labels are not nil where there are labels.
	Like Images
	// Most is how many images come, unless some are left out.
	Most int
	// Each hands the images to yield, a batch at a time, in their order. The batch belongs to Each, which uses it again.
	Each func(ctx context.Context, yield func(*Images) error) error
}

// batchBytes is about how much of a stream is handed on at once.
const batchBytes = 4 << 20

// errEnough ends a stream before its end.
var errEnough = errors.New("enough")

// batcher collects images to batches.
type batcher struct {
	set   Images
	most  int // images of a batch
	yield func(*Images) error
}

func newBatcher(like Images, yield func(*Images) error) *batcher {
	if like.Labels != nil {
		like.Labels = []int64{}
	}
	like.N, like.Pixels = 0, nil
	return &batcher{set: like, most: min(max(1, batchBytes/(like.C*like.H*like.W)), 1024), yield: yield}
}

func (b *batcher) add(pixels []uint8, label int64) error {
	b.set.Pixels = append(b.set.Pixels, pixels...)
	if b.set.Labels != nil {
		b.set.Labels = append(b.set.Labels, label)
	}
	if b.set.N++; b.set.N < b.most {
		return nil
	}
	return b.flush()
}

func (b *batcher) flush() error {
	if b.set.N == 0 {
		return nil
	}
	err := b.yield(&b.set)
	b.set.N, b.set.Pixels = 0, b.set.Pixels[:0]
	if b.set.Labels != nil {
		b.set.Labels = b.set.Labels[:0]
	}
	return err
}

// ordered does work on what feed gives in several goroutines and hands the results to sink in the order in which they were
// given. A bounded number of them is under way. The first error of feed or sink ends it.
func ordered[T, R any](ctx context.Context, feed func(give func(T) error) error, work func(T) R, sink func(R) error) error {
	type slot struct {
		item   T
		result chan R
	}
	workers := runtime.GOMAXPROCS(0)
	group, ctx := errgroup.WithContext(ctx)
	jobs, queue := make(chan slot), make(chan slot, workers)
	group.Go(func() error {
		defer close(jobs)
		defer close(queue)
		return feed(func(item T) error {
			s := slot{item, make(chan R, 1)}
			for _, to := range []chan slot{queue, jobs} {
				select {
				case to <- s:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			return nil
		})
	})
	for range workers {
		group.Go(func() error {
			for s := range jobs {
				s.result <- work(s.item)
			}
			return nil
		})
	}
	group.Go(func() error {
		for s := range queue {
			select {
			case r := <-s.result:
				if err := sink(r); err != nil {
					return err
				}
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	return group.Wait()
}
