package objectstoretest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"vapo/lib/objectstore"
)

func testIfAbsent(t *testing.T, s objectstore.Store) {
	put(t, s, "k", "first", objectstore.PutOptions{IfAbsent: true})
	_, err := tryPut(t, s, "k", "second", objectstore.PutOptions{IfAbsent: true})
	wantKind(t, err, objectstore.ErrExists, "put k")
	if got := string(get(t, s, "k")); got != "first" {
		t.Errorf("the loser's content %q was stored", got)
	}
	if err := s.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	put(t, s, "k", "third", objectstore.PutOptions{IfAbsent: true})
}

func testIfMatch(t *testing.T, s objectstore.Store) {
	a := put(t, s, "k", "a", objectstore.PutOptions{})
	b := put(t, s, "k", "b", objectstore.PutOptions{IfMatch: a.ETag})
	_, err := tryPut(t, s, "k", "c", objectstore.PutOptions{IfMatch: a.ETag})
	wantKind(t, err, objectstore.ErrExists, "put k")
	if got := string(get(t, s, "k")); got != "b" {
		t.Errorf("content is %q, want b", got)
	}
	if err := s.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	_, err = tryPut(t, s, "k", "c", objectstore.PutOptions{IfMatch: b.ETag})
	wantKind(t, err, objectstore.ErrExists, "put k")
	if _, err := tryPut(t, s, "k", "c", objectstore.PutOptions{IfMatch: b.ETag, IfAbsent: true}); err == nil {
		t.Error("contradictory conditions were accepted")
	}
}

// racers is the number of concurrent writers to one key.
const racers = 16

func race(t *testing.T, write func(i int) error) (winner int) {
	t.Helper()
	var wins atomic.Int64
	winner = -1
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			<-start
			err := write(i)
			switch {
			case err == nil:
				wins.Add(1)
				winner = i // no data race if only one writer wins, which is checked below
			case !errors.Is(err, objectstore.ErrExists):
				t.Errorf("a loser's error is %v, want ErrExists", err)
			}
		})
	}
	close(start)
	wg.Wait()
	if wins.Load() != 1 {
		t.Fatalf("%d writers won, want 1", wins.Load())
	}
	return winner
}

func testRace(t *testing.T, s objectstore.Store) {
	for round := range 5 {
		key := fmt.Sprintf("race/%d", round)
		winner := race(t, func(i int) error {
			_, err := tryPut(t, s, key, fmt.Sprintf("writer %02d", i), objectstore.PutOptions{IfAbsent: true})
			return err
		})
		if got, want := string(get(t, s, key)), fmt.Sprintf("writer %02d", winner); got != want {
			t.Fatalf("%q was stored, but the winner wrote %q", got, want)
		}
	}
}

func testCompareAndSwapRace(t *testing.T, s objectstore.Store) {
	now := put(t, s, "counter", "start", objectstore.PutOptions{})
	for round := range 5 {
		winner := race(t, func(i int) error {
			content := fmt.Sprintf("round %d writer %02d", round, i)
			_, err := tryPut(t, s, "counter", content, objectstore.PutOptions{IfMatch: now.ETag})
			return err
		})
		if got, want := string(get(t, s, "counter")), fmt.Sprintf("round %d writer %02d", round, winner); got != want {
			t.Fatalf("%q was stored, but the winner wrote %q", got, want)
		}
		var err error
		if now, err = s.Head(t.Context(), "counter"); err != nil {
			t.Fatal(err)
		}
	}
}

// large returns content of several parts with a short last part.
func large(seed byte) []byte {
	data := make([]byte, 33<<20+7)
	src := rand.NewChaCha8([32]byte{seed})
	_, _ = src.Read(data)
	return data
}

func testLarge(t *testing.T, s objectstore.Store) {
	data := large(1)
	hash := sha256.Sum256(data)
	sum := hex.EncodeToString(hash[:])
	for _, size := range []int64{int64(len(data)), -1} {
		info, err := s.Put(t.Context(), "large", bytes.NewReader(data), size, objectstore.PutOptions{SHA256: sum})
		if err != nil {
			t.Fatal(err)
		}
		if info.Size != int64(len(data)) {
			t.Errorf("size is reported as %d, want %d", info.Size, len(data))
		}
		if !bytes.Equal(get(t, s, "large"), data) {
			t.Fatal("the content changed")
		}
		if head, err := s.Head(t.Context(), "large"); err != nil || head.SHA256 != sum || head.ETag != info.ETag {
			t.Errorf("head is %+v, error %v, want digest %s and the ETag that Put returned, %s", head, err, sum, info.ETag)
		}
	}
	// The sizes are exactly one part, and one part plus one byte.
	for _, n := range []int{16 << 20, 16<<20 + 1} {
		if _, err := s.Put(t.Context(), "edge", bytes.NewReader(data[:n]), -1, objectstore.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(get(t, s, "edge"), data[:n]) {
			t.Fatalf("the content of an object of %d bytes changed", n)
		}
	}
}

func testLargeConditions(t *testing.T, s objectstore.Store) {
	a, b := large(1), large(2)
	write := func(data []byte, opt objectstore.PutOptions) (objectstore.Info, error) {
		return s.Put(t.Context(), "large", bytes.NewReader(data), int64(len(data)), opt)
	}
	first, err := write(a, objectstore.PutOptions{IfAbsent: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = write(b, objectstore.PutOptions{IfAbsent: true})
	wantKind(t, err, objectstore.ErrExists, "put large")
	if _, err := write(b, objectstore.PutOptions{IfMatch: first.ETag}); err != nil {
		t.Fatal(err)
	}
	_, err = write(a, objectstore.PutOptions{IfMatch: first.ETag})
	wantKind(t, err, objectstore.ErrExists, "put large")
	if !bytes.Equal(get(t, s, "large"), b) {
		t.Fatal("the loser's content was stored")
	}
}

// testLargeRace completes several multipart uploads of one key at once. If the client ignored the condition, all of
// them would succeed.
func testLargeRace(t *testing.T, s objectstore.Store) {
	a := large(3)[:17<<20]
	var joined sync.WaitGroup
	const writers = 3
	joined.Add(writers)
	var wins atomic.Int64
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			// The barrier makes every writer check for the object and send its first part before any writer finishes.
			r := io.MultiReader(bytes.NewReader(a[:len(a)-1]), &barrier{&joined, sync.Once{}}, bytes.NewReader(a[len(a)-1:]))
			_, err := s.Put(t.Context(), "large", r, int64(len(a)), objectstore.PutOptions{IfAbsent: true})
			switch {
			case err == nil:
				wins.Add(1)
			case !errors.Is(err, objectstore.ErrExists):
				t.Errorf("a loser's error is %v, want ErrExists", err)
			}
		})
	}
	wg.Wait()
	if wins.Load() != 1 {
		t.Fatalf("%d writers won, want 1", wins.Load())
	}
	if !bytes.Equal(get(t, s, "large"), a) {
		t.Fatal("the content changed")
	}
}

// barrier is an empty reader whose Read blocks until all writers have reached it.
type barrier struct {
	all  *sync.WaitGroup
	once sync.Once
}

func (b *barrier) Read([]byte) (int, error) {
	b.once.Do(b.all.Done)
	b.all.Wait()
	return 0, io.EOF
}
