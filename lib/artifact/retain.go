package artifact

import (
	"context"
	"errors"
	"strings"
	"time"

	"vapo/lib/objectstore"
)

// GracePeriod is the least age at which a collection should delete what nothing refers to; see Collect.
const GracePeriod = 24 * time.Hour

// renewAge is the age from which an object is written again before it is relied on. It leaves time to store a
// reference before a collection with the usual grace period may delete the object.
var renewAge = GracePeriod / 2

// aged reports whether an object is so old that a collection may soon delete it. Both times are by the store's clock.
// An object whose age is unknown counts as old.
func aged(info objectstore.Info) bool {
	return info.Date.IsZero() || info.Date.Sub(info.ModTime) >= renewAge
}

// Renew must be called before the outputs of a stored record are used. An old record is written again, which protects
// it and its outputs from collections for the grace period. Renew returns false if the record has changed or was
// deleted since it was read; read it again then. A record in a store that cannot be written counts as renewed.
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

// Retain must be called before an existing blob is used without a record, for example for a name. It writes an old blob
// again, which protects it from collections for the grace period. It fails with ErrNotFound if the blob does not exist.
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

// remains waits until no collection runs, and reports whether an object that has replaced an old one is still there. A
// collection may have looked at the old one just before. Collections that begin later find the new one.
func (s *Store) remains(ctx context.Context, key string) (bool, error) {
	if _, err := s.awaitLease(ctx, leaseKey(collectionKey), anyHolder); err != nil {
		return false, err
	}
	_, err := s.objects.Head(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func readOnly(err error) bool {
	return errors.Is(err, objectstore.ErrReadOnly) || errors.Is(err, objectstore.ErrDenied)
}

// tombstone replaces a record that is about to be deleted. Records are replaced on the condition that they are as they
// were read, which S3 does not offer for deletions.
const tombstone = `{"deleted": true}` + "\n"
