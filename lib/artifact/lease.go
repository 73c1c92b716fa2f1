package artifact

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"vapo/lib/objectstore"
)

// ErrHeld: another process works on the action. Errors that match it are
// *HeldError.
var ErrHeld = errors.New("action is being worked on elsewhere")

// HeldError names the holder of a lease.
type HeldError struct {
	Key     string
	Owner   string
	Expires time.Time // by the holder's clock
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("%v: %s is held by %s until %s", ErrHeld, e.Key, e.Owner, e.Expires.Format(time.RFC3339))
}

// Unwrap makes errors.Is(err, ErrHeld) hold.
func (e *HeldError) Unwrap() error { return ErrHeld }

// leaseDocument is what lies at live/<key>/lease. Beat changes with every
// write, so that no two states of a lease share an ETag.
type leaseDocument struct {
	Owner   string    `json:"owner"`
	Holding string    `json:"holding"` // drawn anew by every Acquire
	Beat    int64     `json:"beat"`
	Expires time.Time `json:"expires"`
}

// Lease is the intention of one process to do one action, so that others wait
// instead of doing it too. It is advice: clocks differ and processes stall, so
// two may hold one for a moment. Both then do the same work and publish the
// same result, once.
type Lease struct {
	s    *Store
	key  string
	ttl  time.Duration
	lost chan struct{}
	stop context.CancelFunc
	done chan struct{}

	mu   sync.Mutex
	doc  leaseDocument
	etag string
}

// DefaultLease is a good time to live: long enough to survive a store that is
// slow for a moment, short enough to wait for after a crash.
const DefaultLease = 30 * time.Second

// Acquire takes the lease of the action for owner, a name for people, and
// renews it every third of ttl until Release. A lease that has expired is
// taken over; one that has not fails with ErrHeld. Of several that try at once
// one succeeds.
func (l *Live) Acquire(ctx context.Context, owner string, ttl time.Duration) (*Lease, error) {
	if l.err != nil {
		return nil, l.err
	}
	if ttl <= 0 {
		return nil, fmt.Errorf("a lease of %v cannot be held", ttl)
	}
	key := l.prefix + "lease"
	doc := leaseDocument{Owner: owner, Holding: rand.Text(), Expires: time.Now().Add(ttl).UTC()}
	opt := objectstore.PutOptions{IfAbsent: true}
	data, info, err := l.s.readDocument(ctx, key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	if err == nil {
		var held leaseDocument
		// One that cannot be read protects nobody and is taken over.
		if json.Unmarshal(data, &held) == nil && time.Now().Before(held.Expires) {
			return nil, &HeldError{Key: l.key, Owner: held.Owner, Expires: held.Expires}
		}
		opt = objectstore.PutOptions{IfMatch: info.ETag}
	}
	put, err := l.s.writeDocument(ctx, key, doc, opt)
	if errors.Is(err, objectstore.ErrExists) {
		return nil, &HeldError{Key: l.key, Owner: "another process that was faster", Expires: doc.Expires}
	}
	if err != nil {
		return nil, err
	}
	beats, stop := context.WithCancel(context.WithoutCancel(ctx))
	lease := &Lease{s: l.s, key: key, ttl: ttl, doc: doc, etag: put.ETag, lost: make(chan struct{}), stop: stop, done: make(chan struct{})}
	go lease.heartbeat(beats)
	return lease, nil
}

// Lost is closed when the lease was taken over or could not be renewed in
// time. The work may go on: at worst it is done twice.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

func (l *Lease) heartbeat(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(l.ttl / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		beat, cancel := context.WithTimeout(ctx, l.ttl)
		err := l.write(beat, time.Now().Add(l.ttl).UTC())
		cancel()
		l.mu.Lock()
		expired := time.Now().After(l.doc.Expires)
		l.mu.Unlock()
		if errors.Is(err, objectstore.ErrExists) || err != nil && expired {
			close(l.lost)
			return
		}
	}
}

func (l *Lease) write(ctx context.Context, expires time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	doc := l.doc
	doc.Beat++
	doc.Expires = expires
	info, err := l.s.writeDocument(ctx, l.key, doc, objectstore.PutOptions{IfMatch: l.etag})
	if err == nil {
		l.doc, l.etag = doc, info.ETag
	}
	return err
}

// Release ends the lease, so that the next one who asks need not wait. It is
// no error if it was lost meanwhile.
//
// Note: the lease is marked as expired, not deleted. S3 has no conditional
// delete everywhere, and a plain one could delete a successor's lease.
func (l *Lease) Release(ctx context.Context) error {
	l.stop()
	<-l.done
	err := l.write(ctx, time.Unix(0, 0).UTC())
	if errors.Is(err, objectstore.ErrExists) {
		return nil
	}
	return err
}
