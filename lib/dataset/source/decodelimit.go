package source

import (
	"context"
	"runtime"

	"golang.org/x/sync/semaphore"

	"vapo/lib/failure"
	"vapo/lib/picture"
)

// defaultMemory is the memory limit for decoding if the caller gives none.
const defaultMemory = 4 << 30

// large is the size in bytes from which the memory of an image is freed at once.
const large = 64 << 20

// room bounds the memory of images that are decoded at the same time. Small images are decoded on all processors. As
// many large photos are decoded at a time as fit into memory, at least one.
type room struct {
	limit  int64
	budget int64 // half of the limit; the rest is for garbage not yet collected, and for everything else
	used   *semaphore.Weighted
}

func newRoom(limit int64) *room {
	if limit == 0 {
		limit = defaultMemory
	}
	budget := max(limit/2, 1)
	return &room{limit, budget, semaphore.NewWeighted(budget)}
}

// take waits until enough memory is free for an image file and for its pixels. The caller must call leave once it has
// released both.
func (r *room) take(ctx context.Context, file string, data []byte, rotate bool) (
	info *picture.Info, leave func(), err error) {
	if info, err = picture.Inspect(data); err != nil {
		return nil, func() {}, err
	}
	need := info.Memory + int64(len(data))
	if rotate && info.Orientation != 1 {
		need += 3 * int64(info.W) * int64(info.H)
	}
	if need > r.limit {
		return nil, func() {}, failure.New(failure.Resources, "make the image smaller, or use a machine with more memory",
			"image %s: its %dx%d pixels need %d MiB of memory, and %d MiB are available",
			file, info.W, info.H, need>>20, r.limit>>20)
	}
	weight := min(need, r.budget)
	if err := r.used.Acquire(ctx, weight); err != nil {
		return nil, func() {}, context.Cause(ctx)
	}
	leave = func() {
		if weight >= large {
			runtime.GC() // otherwise, the memory of several photos could await the next collection
		}
		r.used.Release(weight)
	}
	return info, leave, nil
}
