package source

import (
	"context"
	"errors"
	"runtime"

	"golang.org/x/sync/errgroup"

	"vapo/lib/dataset"
)

// Stream is a split of images that are created while they are read, since the split need not fit into memory.
type Stream struct {
	// Like is the set without its images: name, split, shape and classes. Its labels are nil if the images have none.
	Like dataset.Images
	// Max is the number of images, including any that turn out to be broken and are left out.
	Max int
	// Each passes the images to yield in order, in batches. A batch is valid only during the call of yield.
	Each func(ctx context.Context, yield func(*dataset.Images) error) error
}

// batchBytes is the approximate size of a batch in bytes.
const batchBytes = 4 << 20

// errEnough stops a stream once it has enough images.
var errEnough = errors.New("enough")

// batcher collects images into batches.
type batcher struct {
	set   dataset.Images
	max   int // images per batch
	yield func(*dataset.Images) error
}

func newBatcher(like dataset.Images, yield func(*dataset.Images) error) *batcher {
	if like.Labels != nil {
		like.Labels = []int64{}
	}
	like.N, like.Pixels = 0, nil
	return &batcher{set: like, max: min(max(1, batchBytes/(like.C*like.H*like.W)), 1024), yield: yield}
}

func (b *batcher) add(pixels []uint8, label int64) error {
	b.set.Pixels = append(b.set.Pixels, pixels...)
	if b.set.Labels != nil {
		b.set.Labels = append(b.set.Labels, label)
	}
	if b.set.N++; b.set.N < b.max {
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

// ordered applies work to the items of feed in several goroutines and passes the results to sink in the order of the
// items. The number of items in progress is bounded. ordered stops at the first error of feed or sink.
func ordered[T, R any](
	ctx context.Context, feed func(give func(T) error) error, work func(T) R, sink func(R) error,
) error {
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
