package artifact

import (
	"context"
	"errors"
	"strings"
	"time"

	"vapo/lib/objectstore"
)

// GracePeriod is the age below which a collection should delete nothing while other programs use the store.
const GracePeriod = 24 * time.Hour

// renewAge is the age from which an object is rewritten before it is used. It leaves enough time to store a reference
// to the object before a collection with the usual grace period may delete it.
var renewAge = func() time.Duration {
	if d, err := time.ParseDuration(testRenewAge); err == nil {
		return d
	}
	return GracePeriod / 2
}()

// testRenewAge is set only by the linker, in programs for tests that cannot wait for hours:
// go build -ldflags "-X vapo/lib/artifact.testRenewAge=1s".
var testRenewAge string

// aged reports whether an object is so old that a collection may soon delete it. The store's clock gives both the date
// of the response and the object's modification time. An object whose age is unknown counts as old.
func aged(info objectstore.Info) bool {
	return info.Date.IsZero() || info.Date.Sub(info.ModTime) >= renewAge
}

// Renew rewrites a record that is old, which protects the record and its outputs from collections for the grace period.
// Every program calls it before it uses the outputs of a stored record. Renew returns false if the record was changed
// or deleted after it was read; the caller must then read it again. In a store that cannot be written, Renew leaves the
// record as it is and returns true.
func (s *Store) Renew(ctx context.Context, rec *Record) (bool, error) {
	if !aged(rec.info) {
		return true, nil
	}
	name, err := recordKey(rec.Key)
	if err != nil {
		return false, err
	}
	renewed := *rec
	// A new time changes the ETag, so that a collection notices.
	renewed.Renewed = time.Now().UTC().Truncate(time.Millisecond)
	err = s.writeDocument(ctx, name, renewed, objectstore.PutOptions{IfMatch: rec.info.ETag})
	switch {
	case errors.Is(err, objectstore.ErrExists):
		return false, nil
	case readOnly(err):
		return true, nil
	}
	return err == nil, err
}

// Retain rewrites a blob that is old, which protects the blob from collections for the grace period. Every program
// calls it before it uses an existing blob without a record, for example to give it a name. Retain fails with
// ErrNotFound if the blob does not exist.
func (s *Store) Retain(ctx context.Context, d Digest) error {
	for {
		r, err := s.openBlob(ctx, d)
		if err != nil {
			return err
		}
		if !aged(r.info) {
			return r.Close()
		}
		opt := objectstore.PutOptions{IfMatch: r.info.ETag, SHA256: d.Hex()}
		_, err = s.objects.Put(ctx, r.key, r, r.info.Size, opt)
		err = errors.Join(err, r.Close())
		switch {
		case errors.Is(err, objectstore.ErrExists): // replaced or deleted since
			continue
		case readOnly(err):
			return nil
		case err != nil:
			return err
		}
		if ok, err := s.remains(ctx, r.key); ok || err != nil {
			return err
		}
	}
}

// collectionKey has the form of an action's key, but no action has it.
var collectionKey = strings.Repeat("0", 64)

// lockCollection acquires the lease that a collection holds while it deletes. Collections run one after the other.
func (s *Store) lockCollection(ctx context.Context) (lease *Lease, held context.Context, err error) {
	for lease == nil && err == nil {
		lease, held, err = s.Acquire(ctx, collectionKey, Holder{Run: "gc", Who: "a collection"}, anyHolder)
	}
	return lease, held, err
}

// anyHolder waits for whoever holds a lease.
var anyHolder = LeaseWait{Held: func(Holder) error { return nil }, Ended: func(Holder) bool { return false }}

// remains waits until a running collection ends and then reports whether an object that replaced an old one still
// exists. The collection may have decided to delete the old object just before that object was replaced. Later
// collections see the new object.
func (s *Store) remains(ctx context.Context, key string) (bool, error) {
	var running string
	ended := errors.New("the collection has ended")
	_, err := s.awaitLease(ctx, leaseKey(collectionKey), LeaseWait{
		Held: func(h Holder) error {
			if running != "" && h.ID != running {
				return ended
			}
			running = h.ID
			return nil
		},
		Ended: anyHolder.Ended,
	})
	if err != nil && !errors.Is(err, ended) {
		return false, err
	}
	_, err = s.objects.Head(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func readOnly(err error) bool {
	return errors.Is(err, objectstore.ErrReadOnly) || errors.Is(err, objectstore.ErrDenied)
}

// tombstone replaces a record that is about to be deleted. S3 can replace an object on condition that it has not
// changed, but cannot delete it on that condition.
const tombstone = `{"deleted": true}` + "\n"
