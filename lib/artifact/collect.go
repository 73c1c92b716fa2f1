package artifact

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"vapo/lib/objectstore"
)

// Collection says what Collect deletes.
type Collection struct {
	Keep  []Roots          // what to keep in addition to refs, young records and what they need
	Drop  map[string]Roots // the runs to delete, by ID; a run that must be kept after all is kept with its Roots
	Grace time.Duration    // nothing younger is deleted; at least GracePeriod if other programs use the store
	Parts time.Duration    // parts older than both this and Grace are deleted
	// Delete makes Collect delete objects. Without it, Collect only counts them.
	Delete bool
}

// uploads is the key under which Collect's result counts unfinished uploads.
const uploads = "uploads"

// Collect deletes everything that cannot be reached from a ref, from Keep or from a young record. It counts what it
// deleted, or would delete, by the first element of the object's key. The kind "uploads" counts unfinished uploads,
// whose sizes are unknown. Contents.Roots must not be called afterwards.
//
// Collect is safe while other programs use the store, while another collection runs, and if it is killed at any time.
// Its safety relies on six rules:
//
//   - Nothing younger than the grace period is deleted; ages are measured by the store's clock. A young record protects
//     its outputs and everything they were made from.
//   - Programs rewrite old objects before they use them, which makes the objects young: see Renew, Retain and PutFile.
//   - Collect first replaces a record with a tombstone, on condition that the record has not changed. So either the
//     collection or the user of an old record succeeds, never both.
//   - Records are deleted before their outputs. A record whose outputs are missing counts as missing.
//   - Collect acquires a lease, looks at an object, deletes it, and then releases the lease, in this order. It cannot
//     ask the server to delete an object only if it is unchanged, because not every S3 server supports that. Instead, a
//     program that has replaced an old object reads the lease afterwards. If it replaced the object before Collect
//     looked, Collect saw a young object and kept it. If it replaced the object later, the program finds the lease,
//     waits until the lease is released and then checks that the new object still exists; see remains.
//   - The previous rule would fail if an object were deleted after the lease had expired. Therefore Collect sends a
//     request only while the lease is certain to last, and cancels the request before the lease can expire; see sure.
//     The previous rule would also fail if one request deleted an object, a program created it again, and a retry
//     deleted the new object. Therefore Collect looks again before it retries a request; see
//     objectstore.Store.DeleteUnchanged.
//
// Two cases are not covered. A server may carry out a request many seconds after its client cancelled it. And in the
// second or so between Collect's look at an object and its request, somebody else may delete the object and a program
// may create it again.
//
// Series entries and live state only save work. A series entry is deleted together with its action. Live state is
// deleted if nobody has written it or renewed its lease for the grace period.
func (s *Store) Collect(ctx context.Context, c *Contents, what Collection) (map[string]Usage, error) {
	k := &collection{s: s, c: c, what: what, cutoff: c.Now.Add(-what.Grace), freed: map[string]Usage{}}
	needed := c.Roots(nil, slices.Collect(maps.Values(c.Refs)))
	for _, roots := range what.Keep {
		needed.actions = append(needed.actions, roots.actions...)
		needed.blobs = append(needed.blobs, roots.blobs...)
	}
	for n, a := range c.actions {
		if k.young(time.Unix(0, a.modified)) {
			needed.actions = append(needed.actions, uint32(n))
		}
	}
	k.keep = c.NewSet()
	k.keep.Add(needed)
	if !what.Delete {
		return k.freed, k.all(ctx)
	}
	lease, held, err := s.lockCollection(ctx)
	if err != nil {
		return nil, err
	}
	k.lease = lease
	err = k.all(held)
	lease.Release(context.WithoutCancel(ctx))
	return k.freed, err
}

type collection struct {
	s      *Store
	c      *Contents
	what   Collection
	cutoff time.Time
	lease  *Lease     // nil if nothing is deleted
	mu     sync.Mutex // guards the fields below
	keep   *Set
	freed  map[string]Usage
}

func (k *collection) young(modified time.Time) bool { return !modified.Before(k.cutoff) }

func (k *collection) count(key string, size int64) {
	kind, _, _ := strings.Cut(key, "/")
	k.mu.Lock()
	defer k.mu.Unlock()
	k.freed[kind] = k.freed[kind].add(size)
}

func (k *collection) all(ctx context.Context) error {
	if err := k.runs(ctx); err != nil {
		return err
	}
	if err := k.records(ctx); err != nil {
		return err
	}
	for _, kind := range []struct {
		prefix string
		dead   func(objectstore.Info) bool
	}{
		{"series/", func(info objectstore.Info) bool {
			action, known := k.c.series[info.Key]
			return known && !k.keep.hasAction(action)
		}},
		{"blobs/", func(info objectstore.Info) bool {
			d, err := digestOfKey(info.Key)
			return err == nil && !k.keep.hasBlob(d)
		}},
		{"parts/", func(info objectstore.Info) bool { return k.c.Now.Sub(info.ModTime) > k.what.Parts }},
		{asidePrefix, func(objectstore.Info) bool { return true }},
		{"probe/", func(objectstore.Info) bool { return true }},
		{"actions/", func(objectstore.Info) bool { return false }}, // deletes only leftovers
		{"refs/", func(objectstore.Info) bool { return false }},
	} {
		if _, err := k.sweep(ctx, kind.prefix, kind.dead); err != nil {
			return err
		}
	}
	if err := k.live(ctx); err != nil {
		return err
	}
	for _, err := range k.s.objects.Uploads(ctx, k.cutoff, k.what.Delete) {
		if err != nil {
			return err
		}
		k.count(uploads, 0)
	}
	return nil
}

// runs deletes the runs in Drop. It keeps a run that is young or was saved again in the meantime, with everything that
// the run needs.
func (k *collection) runs(ctx context.Context) error {
	saved, err := k.sweep(ctx, "runs/", func(info objectstore.Info) bool {
		id, _ := runOfKey(info.Key)
		roots, drop := k.what.Drop[id]
		if drop && k.young(info.ModTime) {
			k.keep.Add(roots)
		}
		return drop
	})
	for _, info := range saved {
		id, _ := runOfKey(info.Key)
		k.keep.Add(k.what.Drop[id])
	}
	return err
}

// leftover reports whether a key belongs to the temporary file of an unfinished write. The gateway of an embedded store
// writes object NAME to .NAME.sgwtmp.NUMBER in the same directory, and leaves this file behind if it is killed.
func leftover(key string) bool {
	name := path.Base(key)
	return name[0] == '.' && strings.Contains(name, ".sgwtmp.")
}

// sweep deletes the old objects under a prefix for which dead returns true, and leftovers. It returns the objects that
// it has kept because they were replaced in the meantime.
func (k *collection) sweep(
	ctx context.Context, prefix string, dead func(objectstore.Info) bool,
) (kept []objectstore.Info, err error) {
	b := k.batches(ctx)
	for info, err := range k.s.objects.List(b.ctx, prefix) {
		if err != nil {
			return nil, cmp.Or(b.wait(), err)
		}
		if (leftover(info.Key) || dead(info)) && !k.young(info.ModTime) {
			b.add(info)
		}
	}
	err = b.wait()
	return b.kept, err
}

// live deletes the live state of actions that nobody has worked on for the grace period.
func (k *collection) live(ctx context.Context) error {
	b := k.batches(ctx)
	var action string
	var objects []objectstore.Info // of this action
	end := func() {
		if !slices.ContainsFunc(objects, func(info objectstore.Info) bool { return k.young(info.ModTime) }) {
			b.add(objects...)
		}
		objects = objects[:0]
	}
	for info, err := range k.s.objects.List(b.ctx, "live/") {
		if err != nil {
			return cmp.Or(b.wait(), err)
		}
		key, _, _ := strings.Cut(strings.TrimPrefix(info.Key, "live/"), "/")
		if key != action {
			end()
			action = key
		}
		objects = append(objects, info)
	}
	end()
	return b.wait()
}

// records deletes the records that are not kept, the latest first. So if an action turns out to be in use, the records
// of the actions that made its inputs still exist.
func (k *collection) records(ctx context.Context) error {
	var dead []uint32
	for n := range k.c.actions {
		if !k.keep.hasAction(uint32(n)) {
			dead = append(dead, uint32(n))
		}
	}
	slices.SortFunc(dead, func(a, b uint32) int {
		switch first, second := &k.c.actions[a], &k.c.actions[b]; {
		case second.earlier(first):
			return -1
		case first.earlier(second):
			return 1
		}
		return 0
	})
	for chunk := range slices.Chunk(dead, tombsAtOnce) {
		if err := k.bury(ctx, chunk); err != nil {
			return err
		}
	}
	if !k.what.Delete {
		return nil
	}
	for chunk := range slices.Chunk(k.c.tombs, objectstore.MaxDelete) { // left by collections that were killed
		if _, err := k.discard(ctx, chunk, time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

// bury replaces records with tombstones and deletes the tombstones. If a record has changed since it was read, bury
// keeps the record and everything that it needs.
func (k *collection) bury(ctx context.Context, actions []uint32) error {
	began := time.Now()
	group, burying := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	var tombs []objectstore.Info
	for _, n := range actions {
		group.Go(func() error {
			k.mu.Lock()
			kept := k.keep.hasAction(n)
			k.mu.Unlock()
			if kept {
				return nil
			}
			a := &k.c.actions[n]
			tomb := objectstore.Info{Key: "actions/" + hex.EncodeToString(a.key[:]) + ".json"}
			if k.what.Delete {
				changed, err := k.entomb(burying, a, &tomb)
				if err != nil {
					return err
				}
				if changed {
					k.mu.Lock()
					defer k.mu.Unlock()
					k.keep.Add(Roots{actions: []uint32{n}})
					return nil
				}
			}
			k.count(tomb.Key, a.size)
			k.mu.Lock()
			defer k.mu.Unlock()
			if tomb.ETag != "" {
				tombs = append(tombs, tomb)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	_, err := k.discard(ctx, tombs, began)
	return err
}

// entomb replaces a record with a tombstone. It reports whether the record has changed since it was read. If another
// collection has deleted the record, tomb.ETag stays empty.
func (k *collection) entomb(ctx context.Context, a *action, tomb *objectstore.Info) (changed bool, err error) {
	body := strings.NewReader(tombstone)
	put, err := k.s.objects.Put(ctx, tomb.Key, body, body.Size(), objectstore.PutOptions{IfMatch: a.etag})
	if errors.Is(err, objectstore.ErrExists) {
		_, err = k.s.objects.Head(ctx, tomb.Key)
		if errors.Is(err, ErrNotFound) {
			return false, nil
		}
		return true, err
	}
	tomb.ETag, tomb.Size = put.ETag, put.Size
	return false, err
}
