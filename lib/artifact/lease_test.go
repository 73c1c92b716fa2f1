package artifact_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/failure"
	"vapo/lib/objectstore"
	"vapo/lib/objectstore/objectstoretest"
)

var leaseAction = strings.Repeat("a", 64)

// quickLeases lets leases expire after half a second. The test must not run in parallel with others.
func quickLeases(t *testing.T) {
	t.Cleanup(artifact.SetLeaseTimes(50*time.Millisecond, 500*time.Millisecond, 50*time.Millisecond))
}

// patient waits for every holder for as long as the holder keeps the lease.
var patient = artifact.LeaseWait{
	Held:  func(artifact.Holder) error { return nil },
	Ended: func(artifact.Holder) bool { return false },
}

func acquire(t *testing.T, s *artifact.Store, who string, wait artifact.LeaseWait) (*artifact.Lease, context.Context) {
	t.Helper()
	l, held, err := s.Acquire(t.Context(), leaseAction, artifact.Holder{Who: who, Run: "run-" + who}, wait)
	if err != nil {
		t.Fatal(err)
	}
	return l, held
}

// TestLeaseExcludes lets many workers take one lease in turn: no two may hold it at once.
func TestLeaseExcludes(t *testing.T) {
	quickLeases(t)
	for name, objects := range map[string]func(testing.TB) objectstore.Store{
		"embedded": objectstoretest.Embedded, "minio": objectstoretest.MinIO,
	} {
		t.Run(name, func(t *testing.T) {
			s := artifact.New(objects(t))
			var working, turns atomic.Int32
			var workers sync.WaitGroup
			for range 6 {
				workers.Go(func() {
					for got := 0; got < 3; {
						l, _, err := s.Acquire(t.Context(), leaseAction, artifact.Holder{Who: "worker"}, patient)
						if err != nil {
							t.Error(err)
							return
						}
						if l == nil {
							continue
						}
						if n := working.Add(1); n != 1 {
							t.Errorf("%d workers hold the lease, want 1", n)
						}
						time.Sleep(20 * time.Millisecond)
						working.Add(-1)
						turns.Add(1)
						got++
						l.Release(t.Context())
					}
				})
			}
			workers.Wait()
			if n := turns.Load(); n != 18 {
				t.Errorf("the workers had %d turns, want 18", n)
			}
			if _, err := s.Objects().Head(t.Context(), "live/"+leaseAction+"/lease"); !errors.Is(err, artifact.ErrNotFound) {
				t.Errorf("head of a released lease: error %v, want ErrNotFound", err)
			}
		})
	}
}

// TestLeaseIsKept checks that a lease does not expire while its holder works, and that waiters learn who holds it.
func TestLeaseIsKept(t *testing.T) {
	quickLeases(t)
	s := open(t)
	l, held := acquire(t, s, "first", patient)
	told := make(chan artifact.Holder, 10)
	wait := artifact.LeaseWait{
		Held: func(h artifact.Holder) error { told <- h; return nil }, Ended: patient.Ended,
	}
	released := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		l, _, err := s.Acquire(t.Context(), leaseAction, artifact.Holder{Who: "second"}, wait)
		select {
		case <-released:
		default:
			err = errors.Join(err, errors.New("the waiter returned while the lease was held"))
		}
		if l != nil {
			err = errors.Join(err, errors.New("Acquire returned the lease to a waiter that has not looked for a result yet"))
		}
		ended <- err
	}()
	time.Sleep(1500 * time.Millisecond) // three times the expiry
	if held.Err() != nil {
		t.Errorf("the lease was lost: %v", context.Cause(held))
	}
	close(released)
	l.Release(t.Context())
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if h := <-told; len(told) != 0 || h.Who != "first" || h.Run != "run-first" {
		t.Errorf("Held was called for %+v and %d more holders, want only first of run-first", h, len(told))
	}
}

// TestLeaseTakenOver blocks a holder's writes, as if its laptop slept. A waiter takes the lease over. The old holder
// notices and saves nothing more.
func TestLeaseTakenOver(t *testing.T) {
	quickLeases(t)
	s := open(t)
	frozen := artifact.New(&freezable{Store: s.Objects()})
	first, held := acquire(t, frozen, "first", patient)
	live := s.Live(leaseAction)
	live.HeldBy(first.ID())
	if err := live.Save(t.Context(), "state", strings.NewReader("of the first")); err != nil {
		t.Fatal(err)
	}
	freeze := frozen.Objects().(*freezable)
	freeze.mu.Lock()
	second, _ := acquire(t, s, "second", patient)
	freeze.mu.Unlock()
	if second == nil {
		t.Fatal("the waiter did not take the lease over")
	}
	select {
	case <-held.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the first holder did not notice")
	}
	if err := context.Cause(held); !errors.Is(err, artifact.ErrLeaseLost) {
		t.Errorf("the first holder's context ended with %v, want ErrLeaseLost", err)
	}
	err := live.Save(t.Context(), "state", strings.NewReader("too late"))
	if !errors.Is(err, artifact.ErrLeaseLost) || failure.ClassOf(err) != failure.Busy ||
		!strings.Contains(err.Error(), "second") {
		t.Errorf("a save without the lease: error %v, want ErrLeaseLost, class busy and the second holder's name", err)
	}
	first.Release(t.Context()) // must leave the second's lease alone
	if _, err := s.Objects().Head(t.Context(), "live/"+leaseAction+"/lease"); err != nil {
		t.Errorf("the first holder removed the second's lease: %v", err)
	}
	second.Release(t.Context())
}

// freezable is a store whose writes stop while mu is locked.
type freezable struct {
	objectstore.Store
	mu sync.Mutex
}

func (f *freezable) Put(
	ctx context.Context, key string, r io.Reader, size int64, opt objectstore.PutOptions,
) (objectstore.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.Store.Put(ctx, key, r, size, opt)
}

// TestLeaseOfTheDead checks that a lease is taken over at once if its holder is known to have ended.
func TestLeaseOfTheDead(t *testing.T) {
	s := open(t) // with the usual expiry of many seconds
	first, _ := acquire(t, s, "first", patient)
	defer first.Release(t.Context())
	began := time.Now()
	second, _ := acquire(t, s, "second", artifact.LeaseWait{
		Held: patient.Held, Ended: func(h artifact.Holder) bool { return h.Run == "run-first" },
	})
	if second == nil || time.Since(began) > 5*time.Second {
		t.Errorf("the lease was taken over: %v, after %v, want true within 5s", second != nil, time.Since(began))
	}
	second.Release(t.Context())
}

// TestDeleteAfter checks that what a killed run has left behind is removed, unless another run has taken over.
func TestDeleteAfter(t *testing.T) {
	s := open(t)
	live := s.Live(leaseAction)
	left := func() (n int) {
		for _, err := range s.Objects().List(t.Context(), "live/"+leaseAction+"/") {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	l, _ := acquire(t, s, "first", patient)
	defer l.Release(t.Context())
	if err := live.Save(t.Context(), "state", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if err := live.DeleteAfter(t.Context(), "run-other"); err != nil || left() != 2 {
		t.Errorf("DeleteAfter for a run without the lease leaves %d objects, error %v, want 2", left(), err)
	}
	if err := live.DeleteAfter(t.Context(), "run-first"); err != nil || left() != 0 {
		t.Errorf("DeleteAfter for the run that has the lease leaves %d objects, error %v, want 0", left(), err)
	}
	if err := live.DeleteAfter(t.Context(), "run-first"); err != nil {
		t.Errorf("DeleteAfter when nothing is left: error %v, want none", err)
	}
}

// TestLeaseRefused checks that a caller can refuse to wait, and can be stopped while it waits.
func TestLeaseRefused(t *testing.T) {
	s := open(t)
	first, _ := acquire(t, s, "first", patient)
	defer first.Release(t.Context())
	busy := errors.New("busy")
	_, _, err := s.Acquire(t.Context(), leaseAction, artifact.Holder{}, artifact.LeaseWait{
		Held: func(artifact.Holder) error { return busy }, Ended: patient.Ended,
	})
	if !errors.Is(err, busy) {
		t.Errorf("a caller that refuses to wait: error %v, want %v", err, busy)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	time.AfterFunc(100*time.Millisecond, func() { cancel(stop) })
	if _, _, err := s.Acquire(ctx, leaseAction, artifact.Holder{}, patient); !errors.Is(err, stop) {
		t.Errorf("a caller that was stopped: error %v, want %v", err, stop)
	}
}

// TestDamagedLease checks that a lease that cannot be read expires like any other.
func TestDamagedLease(t *testing.T) {
	quickLeases(t)
	s := open(t)
	key := "live/" + leaseAction + "/lease"
	if _, err := s.Objects().Put(t.Context(), key, strings.NewReader("{"), 1, objectstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	l, _ := acquire(t, s, "first", patient)
	if l == nil {
		t.Fatal("a damaged lease does not expire")
	}
	l.Release(t.Context())
}
