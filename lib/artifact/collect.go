package artifact

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"vapo/lib/objectstore"
)

// Collection says what Collect deletes.
type Collection struct {
	Keep  *Set            // what must stay, besides refs, young records and what they lead to
	Drop  map[string]*Set // IDs of the runs to delete, each with what must stay if the run stays
	Grace time.Duration   // nothing younger is deleted; at least GracePeriod if other programs use the store
	Parts time.Duration   // parts older than this and the grace period are deleted
	// Delete makes Collect delete objects. Without it, Collect only counts them.
	Delete bool
}

// uploads is the kind of unfinished uploads in what Collect returns.
const uploads = "uploads"

// Collect deletes everything that cannot be reached from a ref or from Keep. It returns what it deleted, or would
// delete, in the form of Contents.Usage. The kind "uploads" counts unfinished uploads, whose sizes are unknown.
//
// Collect is safe while other programs use the store, while another collection runs, and if it is killed at any time.
// This relies on four rules:
//
//   - Nothing younger than the grace period is deleted; ages are measured by the store's clock. A young record protects
//     its outputs and everything they were made from. Every object is examined again just before it is deleted.
//   - Programs rewrite old objects before they use them: see Renew, Retain and PutFile. Collect first replaces a record
//     by a tombstone, on condition that the record has not changed. So either the collection or the user of an old
//     record succeeds, never both.
//   - S3 has no conditional delete. Therefore a collection holds a lease, and a program that has replaced an old object
//     waits until the collection ends and then checks that the new object still exists.
//   - Records are deleted before their outputs. A record whose outputs are missing counts as missing.
//
// Series entries and live state only save work. A series entry is deleted together with its action. Live state is
// deleted if nobody has written it or renewed its lease for the grace period.
func (s *Store) Collect(ctx context.Context, c *Contents, what Collection) (map[string]Usage, error) {
	k := &collection{s: s, c: c, what: what, cutoff: c.Now.Add(-what.Grace), freed: map[string]Usage{}}
	for _, name := range slices.Sorted(maps.Keys(c.Refs)) { // sorted, so that every collection keeps the same objects
		c.AddBlob(what.Keep, c.Refs[name])
	}
	for _, key := range slices.Sorted(maps.Keys(c.Actions)) {
		if k.young(c.Actions[key].Object) {
			c.AddAction(what.Keep, key)
		}
	}
	if !what.Delete {
		return k.freed, k.all(ctx)
	}
	lease, held, err := s.lockCollection(ctx)
	if err != nil {
		return nil, err
	}
	err = k.all(held)
	lease.Release(context.WithoutCancel(ctx))
	return k.freed, err
}

type collection struct {
	s      *Store
	c      *Contents
	what   Collection
	cutoff time.Time
	mu     sync.Mutex // guards what.Keep and freed
	freed  map[string]Usage
}

func (k *collection) young(info objectstore.Info) bool { return info.ModTime.After(k.cutoff) }

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
	if k.what.Delete {
		if err := k.each(ctx, k.c.tombs, k.clear); err != nil {
			return err
		}
	}
	dead := slices.Concat(k.c.Damaged, k.c.Probes)
	for _, info := range k.c.Series {
		if !k.what.Keep.Actions[k.c.series[info.Key]] {
			dead = append(dead, info)
		}
	}
	for d, info := range k.c.Blobs {
		if !k.what.Keep.Blobs[d] {
			dead = append(dead, info)
		}
	}
	for _, objects := range k.c.Live {
		if !slices.ContainsFunc(objects, k.young) {
			dead = append(dead, objects...)
		}
	}
	for _, info := range k.c.Parts {
		if k.c.Now.Sub(info.ModTime) > k.what.Parts {
			dead = append(dead, info)
		}
	}
	err := k.each(ctx, dead, func(ctx context.Context, info objectstore.Info) error {
		_, err := k.remove(ctx, info)
		return err
	})
	if err != nil {
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

// each calls f for several objects at once.
func (k *collection) each(
	ctx context.Context, objects []objectstore.Info, f func(context.Context, objectstore.Info) error,
) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for _, info := range objects {
		group.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return f(ctx, info)
		})
	}
	return group.Wait()
}

// remove deletes an object unless it is young or has changed since it was listed.
func (k *collection) remove(ctx context.Context, info objectstore.Info) (bool, error) {
	if k.young(info) {
		return false, nil
	}
	if k.what.Delete {
		now, err := k.s.objects.Head(ctx, info.Key)
		if errors.Is(err, ErrNotFound) {
			return true, nil // another collection has deleted it
		}
		if err != nil || k.young(now) || now.ETag != info.ETag {
			return false, err
		}
		if err := k.s.objects.Delete(ctx, info.Key); err != nil {
			return false, err
		}
	}
	k.count(info.Key, info.Size)
	return true, nil
}

// runs deletes runs. A run that was saved again stays, with everything that it needs.
func (k *collection) runs(ctx context.Context) error {
	for id, keeps := range k.what.Drop {
		info, ok := k.c.Runs[id]
		if !ok {
			continue
		}
		gone, err := k.remove(ctx, info)
		if err != nil {
			return err
		}
		if !gone {
			for key := range keeps.Actions {
				k.c.AddAction(k.what.Keep, key)
			}
			maps.Copy(k.what.Keep.Blobs, keeps.Blobs)
		}
	}
	return nil
}

// records deletes records, the latest first, so that an action that turns out to be in use still has its inputs.
func (k *collection) records(ctx context.Context) error {
	var dead []objectstore.Info
	keys := map[string]string{}
	for key, a := range k.c.Actions {
		if !k.what.Keep.Actions[key] {
			dead = append(dead, a.Object)
			keys[a.Object.Key] = key
		}
	}
	slices.SortFunc(dead, func(a, b objectstore.Info) int {
		return cmp.Or(k.c.Actions[keys[b.Key]].Created.Compare(k.c.Actions[keys[a.Key]].Created), cmp.Compare(a.Key, b.Key))
	})
	return k.each(ctx, dead, func(ctx context.Context, info objectstore.Info) error {
		k.mu.Lock()
		kept := k.what.Keep.Actions[keys[info.Key]]
		k.mu.Unlock()
		if kept {
			return nil
		}
		gone, err := k.bury(ctx, info)
		if err == nil && gone {
			k.count(info.Key, info.Size)
		}
		if err == nil && !gone {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.c.AddAction(k.what.Keep, keys[info.Key])
		}
		return err
	})
}

// bury deletes a record. It returns false if the record has changed since it was read.
func (k *collection) bury(ctx context.Context, info objectstore.Info) (bool, error) {
	if !k.what.Delete {
		return true, nil
	}
	body := strings.NewReader(tombstone)
	tomb, err := k.s.objects.Put(ctx, info.Key, body, body.Size(), objectstore.PutOptions{IfMatch: info.ETag})
	if errors.Is(err, objectstore.ErrExists) {
		_, err = k.s.objects.Head(ctx, info.Key)
		if errors.Is(err, ErrNotFound) {
			return true, nil // another collection has deleted it
		}
		return false, err
	}
	if err != nil {
		return false, err
	}
	tomb.Key = info.Key
	return true, k.clear(ctx, tomb)
}

// clear deletes a tombstone, unless the record was published again.
func (k *collection) clear(ctx context.Context, tomb objectstore.Info) error {
	now, err := k.s.objects.Head(ctx, tomb.Key)
	if errors.Is(err, ErrNotFound) || err == nil && now.ETag != tomb.ETag {
		return nil
	}
	if err != nil {
		return err
	}
	return k.s.objects.Delete(ctx, tomb.Key)
}
