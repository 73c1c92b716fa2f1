package artifact

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"vapo/lib/failure"
	"vapo/lib/objectstore"
)

// A lease lets one runner work on an action while others wait for its result. It is an object under live/ that its
// holder rewrites every few seconds. A waiter never compares timestamps, because clocks differ. It takes over a lease
// whose ETag has not changed for a while by the waiter's own clock.
//
// Leases only save work. If two runners hold the same lease at once, both compute the action, and the store keeps the
// record that is published first.

var (
	leaseBeat   = 5 * time.Second  // the holder renews its lease this often
	leaseExpiry = 20 * time.Second // a waiter takes over a lease that was not renewed for this long
	leasePoll   = time.Second      // a waiter reads the lease at least this often
)

// ErrLeaseLost means that another runner has taken over the lease, because this one did not renew it in time.
var ErrLeaseLost = failure.New(failure.Busy, "", "another run has taken over the work on this action")

// Holder says who works on an action.
type Holder struct {
	ID      string    `json:"id"`  // random, different for each lease
	Run     string    `json:"run"` // ID of the run
	Who     string    `json:"who"` // for people: user and host
	Process int       `json:"process"`
	Since   time.Time `json:"since"`
}

// String describes the holder to other people.
func (h Holder) String() string {
	since := h.Since.Local().Format("2006-01-02 15:04:05")
	return fmt.Sprintf("%s since %s (process %d, run %s)", h.Who, since, h.Process, h.Run)
}

// leaseDocument is the stored form of a lease. Beat changes with every renewal, so that the ETag changes too.
type leaseDocument struct {
	Holder
	Beat int `json:"beat"`
}

// LeaseWait tells Acquire how to deal with a lease that another runner holds.
type LeaseWait struct {
	// Held is called once for each holder that Acquire waits for. If it returns an error, Acquire fails with that error.
	Held func(Holder) error
	// Ended reports whether the holder's process is known to have ended. Acquire then takes the lease over at once.
	Ended func(Holder) bool
}

func leaseKey(action string) string { return "live/" + action + "/lease" }

// Lease is the right to work on an action.
type Lease struct {
	s      *Store
	key    string
	holder Holder
	stop   context.CancelFunc // stops the renewals
	done   chan struct{}      // closed after the last renewal

	mu      sync.Mutex // held while the lease is renewed; guards the fields below
	beat    int
	etag    string
	renewed time.Time // when the last successful renewal was sent
	lost    bool
}

// Acquire takes the lease of an action. While another runner holds it, Acquire waits. If that runner releases the
// lease, or another waiter is quicker, Acquire returns neither a lease nor an error. The caller must then look for the
// result before it calls Acquire again. A caller that gets the lease must also look for the result, which may have been
// published just before.
//
// The lease is renewed until Release. The returned context ends with the cause ErrLeaseLost if another runner takes the
// lease over.
func (s *Store) Acquire(
	ctx context.Context, key string, holder Holder, wait LeaseWait,
) (*Lease, context.Context, error) {
	if _, err := recordKey(key); err != nil {
		return nil, nil, err
	}
	holder.ID, holder.Since = rand.Text(), time.Now().UTC().Truncate(time.Second)
	l := &Lease{s: s, key: leaseKey(key), holder: holder, done: make(chan struct{})}
	err := l.write(ctx, objectstore.PutOptions{IfAbsent: true})
	if errors.Is(err, objectstore.ErrExists) {
		var expired string
		if expired, err = s.awaitLease(ctx, l.key, wait); err != nil || expired == "" {
			return nil, nil, err
		}
		err = l.write(ctx, objectstore.PutOptions{IfMatch: expired})
		if errors.Is(err, objectstore.ErrExists) {
			return nil, nil, nil // another waiter was quicker
		}
	}
	if err != nil {
		return nil, nil, err
	}
	held, lose := context.WithCancelCause(ctx)
	// The lease outlives ctx, because a stage that was asked to end still saves its state.
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	go func() {
		defer close(l.done)
		lose(l.keep(renewing))
	}()
	return l, held, nil
}

// ID returns the value for [Live.HeldBy].
func (l *Lease) ID() string { return l.holder.ID }

// Lost reports whether another runner has taken the lease over. It asks the store, so that it knows this as soon as a
// stage that has compared the lease with [Lease.ID].
func (l *Lease) Lost(ctx context.Context) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost || errors.Is(l.renew(ctx), ErrLeaseLost)
}

// Release ends the lease, so that waiters need not wait until it expires.
func (l *Lease) Release(ctx context.Context) {
	l.stop()
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.lost && time.Since(l.renewed) < leaseExpiry { // otherwise another runner may hold the lease now
		_ = l.s.objects.Delete(ctx, l.key) // if this fails, the lease expires later
	}
}

// keep renews the lease until ctx ends. It returns ErrLeaseLost if another runner has the lease.
func (l *Lease) keep(ctx context.Context) error {
	tick := time.NewTicker(leaseBeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		l.mu.Lock()
		err := l.renew(ctx)
		l.mu.Unlock()
		if errors.Is(err, ErrLeaseLost) { // after other errors, the next beat tries again
			return err
		}
	}
}

// renew renews the lease. It fails with ErrLeaseLost if another runner has the lease.
func (l *Lease) renew(ctx context.Context) error {
	l.beat++
	err := l.write(ctx, objectstore.PutOptions{IfMatch: l.etag})
	if errors.Is(err, objectstore.ErrExists) {
		l.lost = true
		return ErrLeaseLost
	}
	return err
}

// sure returns a context that ends before anyone else can get the lease. Others take over a lease if they have not seen
// a renewal for leaseExpiry. The context ends half of that time after the last renewal. The other half is for a request
// that is still in flight. sure first renews the lease unless it was renewed recently.
func (l *Lease) sure(ctx context.Context) (context.Context, context.CancelFunc, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost {
		return nil, nil, ErrLeaseLost
	}
	if time.Since(l.renewed) >= leaseExpiry/4 {
		if err := l.renew(ctx); err != nil {
			return nil, nil, err
		}
	}
	sure, cancel := context.WithDeadlineCause(ctx, l.renewed.Add(leaseExpiry/2), errUnsure)
	return sure, cancel, nil
}

// errUnsure is the cause with which the contexts of sure end.
var errUnsure = failure.New(failure.Store, "run the command again; it continues where it stopped",
	"the store answers too slowly for the garbage collection to keep its lease")

func (l *Lease) write(ctx context.Context, opt objectstore.PutOptions) error {
	data, err := json.Marshal(leaseDocument{l.holder, l.beat})
	if err != nil {
		return err
	}
	sent := time.Now().Round(0) // wall-clock time, because the monotonic clock may stop while the machine sleeps
	info, err := l.s.objects.Put(ctx, l.key, bytes.NewReader(data), int64(len(data)), opt)
	if err == nil {
		l.etag, l.renewed = info.ETag, sent
	}
	return err
}

// holder returns who holds a lease, and the lease's ETag. A damaged lease has an unknown holder and expires like any
// other.
func (s *Store) holder(ctx context.Context, lease string) (Holder, string, error) {
	data, info, err := s.readDocument(ctx, lease)
	if err != nil {
		return Holder{}, "", err
	}
	var doc leaseDocument
	if json.Unmarshal(data, &doc) != nil {
		doc.Holder = Holder{Who: "unknown"}
	}
	return doc.Holder, info.ETag, nil
}

// awaitLease waits until a lease ends. It returns "" if the lease was released. If the lease has expired or its holder
// has ended, awaitLease returns the ETag under which the lease can be taken over.
func (s *Store) awaitLease(ctx context.Context, lease string, wait LeaseWait) (expired string, err error) {
	var (
		seen    string // the ETag that was read last
		since   time.Time
		looked  time.Time
		waitFor *Holder // the last holder that Held was called for
	)
	for pause := leasePoll / 32; ; pause = min(2*pause, leasePoll) {
		h, etag, err := s.holder(ctx, lease)
		if errors.Is(err, ErrNotFound) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		now := time.Now()
		// If this process slept or the store was unreachable, the holder may have been unable to renew its lease. So the wait
		// for the lease to expire starts again.
		if etag != seen || now.Sub(looked) > 5*leasePoll {
			seen, since = etag, now
		}
		looked = now
		if now.Sub(since) > leaseExpiry || wait.Ended(h) {
			return etag, nil
		}
		if waitFor == nil || waitFor.ID != h.ID {
			if err := wait.Held(h); err != nil {
				return "", err
			}
			waitFor = &h
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}
