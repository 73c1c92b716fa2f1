package artifact_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/objectstore"
)

func TestLease(t *testing.T) {
	s := open(t)
	live := s.Live(record(t, "train", nil).Key)
	mine, err := live.Acquire(t.Context(), "host-a pid 1", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	_, err = live.Acquire(t.Context(), "host-b pid 2", time.Minute)
	var held *artifact.HeldError
	if !errors.Is(err, artifact.ErrHeld) || !errors.As(err, &held) || held.Owner != "host-a pid 1" {
		t.Fatalf("the second one gets %v", err)
	}
	if err := mine.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	theirs, err := live.Acquire(t.Context(), "host-b pid 2", time.Minute)
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	if err := mine.Release(t.Context()); err != nil {
		t.Errorf("a second release: %v", err)
	}
	if _, err := live.Acquire(t.Context(), "host-c", time.Minute); !errors.Is(err, artifact.ErrHeld) {
		t.Errorf("a late release freed another's lease: %v", err)
	}
	if err := theirs.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestLeaseHeartbeat: a lease outlives its time to live many times over while
// its holder lives, and is taken over once it does not.
func TestLeaseHeartbeat(t *testing.T) {
	s := open(t)
	live := s.Live(record(t, "train", nil).Key)
	const ttl = 3 * time.Second
	lease, err := live.Acquire(t.Context(), "me", ttl)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(2 * ttl); time.Now().Before(end); time.Sleep(ttl / 10) {
		if _, err := live.Acquire(t.Context(), "you", ttl); !errors.Is(err, artifact.ErrHeld) {
			t.Fatalf("taken from a living holder: %v", err)
		}
	}
	select {
	case <-lease.Lost():
		t.Fatal("lost without a rival")
	default:
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestLeaseTakeover: of many who find an expired lease one takes it, and the
// former holder, should it still live, learns of it.
func TestLeaseTakeover(t *testing.T) {
	s := open(t)
	key := record(t, "train", nil).Key
	live := s.Live(key)
	former, err := live.Acquire(t.Context(), "former", 3*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	// As if the holder had been asleep: its lease reads as long expired.
	expired := `{"owner":"former","holding":"x","beat":7,"expires":"2001-01-01T00:00:00Z"}`
	if _, err := s.Objects().Put(t.Context(), "live/"+key+"/lease", strings.NewReader(expired), -1, objectstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	var wins atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			lease, err := live.Acquire(t.Context(), "rival", time.Minute)
			switch {
			case err == nil:
				wins.Add(1)
				t.Cleanup(func() { lease.Release(t.Context()) })
			case !errors.Is(err, artifact.ErrHeld):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if wins.Load() != 1 {
		t.Errorf("%d rivals took it", wins.Load())
	}
	select {
	case <-former.Lost():
	case <-t.Context().Done():
		t.Fatal("the former holder never learned of it")
	}
}

func TestUnreadableLeaseIsTakenOver(t *testing.T) {
	s := open(t)
	key := record(t, "train", nil).Key
	if _, err := s.Objects().Put(t.Context(), "live/"+key+"/lease", strings.NewReader("{"), -1, objectstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	lease, err := s.Live(key).Acquire(t.Context(), "me", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := s.Live(key).Acquire(t.Context(), "me", 0); err == nil {
		t.Error("a lease of no time was granted")
	}
}
