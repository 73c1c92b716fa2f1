package artifact

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"vapo/lib/objectstore"
)

const (
	batchesInFlight = 3
	// batchAge is the longest time that a batch waits for more objects. The longer it waits, the more objects may change.
	batchAge = time.Second
	// tombsAtOnce is the number of records that are replaced with tombstones before the tombstones are deleted.
	tombsAtOnce = 250
)

// batches deletes objects while the listing that returns them continues.
type batches struct {
	k      *collection
	group  *errgroup.Group
	ctx    context.Context // ends at the first error
	batch  []objectstore.Info
	looked time.Time
	kept   []objectstore.Info // objects that were replaced; complete after wait
}

func (k *collection) batches(ctx context.Context) *batches {
	b := &batches{k: k}
	b.group, b.ctx = errgroup.WithContext(ctx)
	b.group.SetLimit(batchesInFlight)
	return b
}

// add schedules the deletion of objects that the listing has just returned.
func (b *batches) add(objects ...objectstore.Info) {
	for _, info := range objects {
		if len(b.batch) == 0 {
			b.looked = time.Now()
		}
		b.batch = append(b.batch, info)
		if len(b.batch) == objectstore.MaxDelete || time.Since(b.looked) > batchAge {
			b.flush()
		}
	}
}

func (b *batches) flush() {
	if len(b.batch) == 0 {
		return
	}
	objects, looked := b.batch, b.looked
	b.batch = nil
	b.group.Go(func() error {
		kept, err := b.k.discard(b.ctx, objects, looked)
		if err != nil {
			return err
		}
		left := map[string]bool{}
		for _, info := range kept {
			left[info.Key] = true
		}
		for _, info := range objects {
			if !left[info.Key] {
				b.k.count(info.Key, info.Size)
			}
		}
		b.k.mu.Lock()
		defer b.k.mu.Unlock()
		b.kept = append(b.kept, kept...)
		return nil
	})
}

// wait waits until everything is deleted.
func (b *batches) wait() error {
	b.flush()
	return b.group.Wait()
}

// maxUnsure is the number of times that discard tries a request that is cancelled because the lease might expire.
const maxUnsure = 5

// discard deletes objects that have not changed since they were last looked at, and returns those that have changed. It
// does nothing in a dry run.
func (k *collection) discard(ctx context.Context, objects []objectstore.Info, looked time.Time) (
	kept []objectstore.Info, err error,
) {
	if !k.what.Delete {
		return nil, nil
	}
	for try := 1; ; try++ {
		sure, cancel, err := k.lease.sure(ctx)
		if err != nil {
			return nil, err
		}
		kept, err := k.s.objects.DeleteUnchanged(sure, objects, looked)
		cancel()
		if !errors.Is(err, errUnsure) || try == maxUnsure {
			return kept, err
		}
		looked = time.Time{}
	}
}
