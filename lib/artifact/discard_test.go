package artifact_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/objectstore"
)

// TestBytesPerBlob: a Contents and a Set of everything in it take little memory per blob.
func TestBytesPerBlob(t *testing.T) {
	const blobs, most = 100_000, 100
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	digest := func(i int) artifact.Digest {
		sum := sha256.Sum256(fmt.Append(nil, i))
		return artifact.SumDigest(sum[:])
	}
	before := used()
	c := artifact.ContentsOf(blobs, digest)
	set := c.NewSet()
	for i := range blobs {
		set.Add(c.Roots(nil, []artifact.Digest{digest(i)}))
	}
	n := float64(used()-before) / blobs
	runtime.KeepAlive(c)
	runtime.KeepAlive(set)
	t.Logf("%.0f bytes for each blob", n)
	if n > most {
		t.Errorf("%.0f bytes for each blob, expected at most %d", n, most)
	}
}

// TestRunSavedAgain: a run that is saved again after the decision to delete it is kept, with everything that it needs.
func TestRunSavedAgain(t *testing.T) {
	s := open(t)
	rec := record(t, "train", map[string]artifact.Digest{"x": put(t, s, "x")})
	if _, _, err := s.Publish(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"again", "dropped"} {
		if err := s.SaveRun(t.Context(), id, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(1100 * time.Millisecond) // the store's clock has a resolution of one second
	c, err := s.Contents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	roots := c.Roots([]string{rec.Key}, nil)
	if err := s.SaveRun(t.Context(), "again", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	drop := map[string]artifact.Roots{"again": roots, "dropped": c.Roots(nil, nil)}
	freed, err := s.Collect(t.Context(), c, artifact.Collection{Drop: drop, Delete: true})
	if err != nil || fmt.Sprint(freed) != "map[runs:{1 2}]" {
		t.Errorf("freed %v, error %v, want only the run that was not saved again", freed, err)
	}
}

// stolen is a store in which another program takes over the lease of a collection while the collection deletes.
type stolen struct {
	freezable
	steal func()
	once  sync.Once
	late  bool // whether the collection could have deleted objects without the lease
}

func (s *stolen) DeleteUnchanged(
	ctx context.Context, objects []objectstore.Info, looked time.Time,
) (changed []objectstore.Info, err error) {
	err = errors.New("never called twice at once")
	s.once.Do(func() {
		s.mu.Lock()
		s.steal()
		s.mu.Unlock()
		s.late = ctx.Err() == nil
		changed, err = s.Store.DeleteUnchanged(ctx, objects, looked)
	})
	return changed, err
}

// TestCollectionWithoutLease: a collection that cannot renew its lease cancels its requests before another program can
// get the lease, and deletes nothing afterwards.
func TestCollectionWithoutLease(t *testing.T) {
	quickLeases(t)
	s := open(t)
	d := put(t, s, "unused")
	time.Sleep(1100 * time.Millisecond)
	var thief *artifact.Lease
	slow := &stolen{freezable: freezable{Store: s.Objects()}, steal: func() {
		var err error
		thief, _, err = s.Acquire(t.Context(), strings.Repeat("0", 64), artifact.Holder{Who: "thief"}, patient)
		if err != nil {
			t.Error(err)
		}
	}}
	_, err := collect(t.Context(), artifact.New(slow), func(*artifact.Contents) artifact.Collection {
		return artifact.Collection{Delete: true}
	})
	if !errors.Is(err, artifact.ErrLeaseLost) || thief == nil || slow.late {
		t.Errorf("the collection ends with %v, want ErrLeaseLost; the lease was taken over: %v, want true; "+
			"the collection could still delete afterwards: %v, want false", err, thief != nil, slow.late)
	}
	if err := s.Verify(t.Context(), d); err != nil {
		t.Error(err)
	}
	thief.Release(t.Context())
}
