package objectstoretest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"vapo/lib/objectstore"
)

// Run holds a store to the contract of objectstore.Store. open returns an empty store of the test's own.
func Run(t *testing.T, open func(testing.TB) objectstore.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, objectstore.Store)
	}{
		{"RoundTrip", testRoundTrip},
		{"Absent", testAbsent},
		{"Range", testRange},
		{"IfAbsent", testIfAbsent},
		{"IfMatch", testIfMatch},
		{"Race", testRace},
		{"CompareAndSwapRace", testCompareAndSwapRace},
		{"Large", testLarge},
		{"LargeConditions", testLargeConditions},
		{"LargeRace", testLargeRace},
		{"Announced", testAnnounced},
		{"List", testList},
		{"BadKeys", testBadKeys},
		{"Cancelled", testCancelled},
		{"Probe", testProbe},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

func put(t testing.TB, s objectstore.Store, key, content string, opt objectstore.PutOptions) objectstore.Info {
	t.Helper()
	info, err := s.Put(t.Context(), key, strings.NewReader(content), int64(len(content)), opt)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func get(t testing.TB, s objectstore.Store, key string) []byte {
	t.Helper()
	r, info, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(data)) != info.Size {
		t.Errorf("%s: %d bytes read, size is said to be %d", key, len(data), info.Size)
	}
	return data
}

func wantKind(t testing.TB, err, kind error, mention string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("error is %v, want %v", err, kind)
		return
	}
	var typed *objectstore.Error
	if !errors.As(err, &typed) {
		t.Errorf("error %v is no *objectstore.Error", err)
	}
	if !strings.Contains(err.Error(), mention) {
		t.Errorf("error %q does not name %q", err, mention)
	}
}

func testRoundTrip(t *testing.T, s objectstore.Store) {
	sum := sha256.Sum256([]byte("hello"))
	for _, c := range []struct{ key, content string }{
		{"a", "hello"}, {"deep/er/key.json", "{}"}, {"empty", ""}, {"spaces and ünï+code=%25&x", "x"},
	} {
		put(t, s, c.key, "overwritten", objectstore.PutOptions{})
		made := put(t, s, c.key, c.content, objectstore.PutOptions{})
		if got := string(get(t, s, c.key)); got != c.content {
			t.Errorf("%s: read %q, wrote %q", c.key, got, c.content)
		}
		head, err := s.Head(t.Context(), c.key)
		if err != nil {
			t.Fatal(err)
		}
		if head.Key != c.key || head.Size != int64(len(c.content)) || head.ETag != made.ETag || made.ETag == "" || head.ModTime.IsZero() || head.SHA256 != "" {
			t.Errorf("%s: head is %+v, put said %+v", c.key, head, made)
		}
	}
	put(t, s, "a", "hello", objectstore.PutOptions{SHA256: strings.ToUpper(hex.EncodeToString(sum[:]))})
	if head, err := s.Head(t.Context(), "a"); err != nil || head.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("the digest given to put is returned as %q, error %v", head.SHA256, err)
	}
	if err := s.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Head(t.Context(), "a"); !errors.Is(err, objectstore.ErrNotFound) {
		t.Errorf("head after delete: %v", err)
	}
	// A reader that cannot seek and whose size is not known.
	if _, err := s.Put(t.Context(), "stream", iotest.OneByteReader(strings.NewReader("stream")), -1, objectstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := string(get(t, s, "stream")); got != "stream" {
		t.Errorf("stream: read %q", got)
	}
}

func testAbsent(t *testing.T, s objectstore.Store) {
	_, _, err := s.Get(t.Context(), "nobody")
	wantKind(t, err, objectstore.ErrNotFound, "nobody")
	_, err = s.Head(t.Context(), "nobody")
	wantKind(t, err, objectstore.ErrNotFound, "nobody")
	_, err = s.GetRange(t.Context(), "nobody", 0, 1)
	wantKind(t, err, objectstore.ErrNotFound, "nobody")
	if errors.Is(err, objectstore.ErrNoBucket) {
		t.Error("a missing object passes for a missing bucket")
	}
	if err := s.Delete(t.Context(), "nobody"); err != nil {
		t.Errorf("delete of nothing: %v", err)
	}
}

func testRange(t *testing.T, s objectstore.Store) {
	put(t, s, "r", "0123456789", objectstore.PutOptions{})
	for _, c := range []struct {
		off, n int64
		want   string
	}{{0, 3, "012"}, {4, 2, "45"}, {8, 100, "89"}, {3, -1, "3456789"}, {9, 1, "9"}, {2, 0, ""}, {0, -1, "0123456789"}} {
		r, err := s.GetRange(t.Context(), "r", c.off, c.n)
		if err != nil {
			t.Fatalf("range %d+%d: %v", c.off, c.n, err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || string(got) != c.want {
			t.Errorf("range %d+%d is %q, %v; want %q", c.off, c.n, got, err, c.want)
		}
	}
	_, err := s.GetRange(t.Context(), "r", 10, 1)
	wantKind(t, err, objectstore.ErrRange, "r")
	_, err = s.GetRange(t.Context(), "r", -1, 1)
	wantKind(t, err, objectstore.ErrRange, "r")
}

func testIfAbsent(t *testing.T, s objectstore.Store) {
	put(t, s, "k", "first", objectstore.PutOptions{IfAbsent: true})
	_, err := s.Put(t.Context(), "k", strings.NewReader("second"), 6, objectstore.PutOptions{IfAbsent: true})
	wantKind(t, err, objectstore.ErrExists, "put k")
	if got := string(get(t, s, "k")); got != "first" {
		t.Errorf("the loser's content %q is there", got)
	}
	if err := s.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	put(t, s, "k", "third", objectstore.PutOptions{IfAbsent: true})
}

func testIfMatch(t *testing.T, s objectstore.Store) {
	a := put(t, s, "k", "a", objectstore.PutOptions{})
	b := put(t, s, "k", "b", objectstore.PutOptions{IfMatch: a.ETag})
	_, err := s.Put(t.Context(), "k", strings.NewReader("c"), 1, objectstore.PutOptions{IfMatch: a.ETag})
	wantKind(t, err, objectstore.ErrExists, "put k")
	if got := string(get(t, s, "k")); got != "b" {
		t.Errorf("content is %q", got)
	}
	if err := s.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	_, err = s.Put(t.Context(), "k", strings.NewReader("c"), 1, objectstore.PutOptions{IfMatch: b.ETag})
	wantKind(t, err, objectstore.ErrExists, "put k")
	if _, err := s.Put(t.Context(), "k", strings.NewReader("c"), 1, objectstore.PutOptions{IfMatch: b.ETag, IfAbsent: true}); err == nil {
		t.Error("conditions that exclude each other were accepted")
	}
}

// racers is how many writers meet on one key.
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
				winner = i // one writer, or the test fails below
			case !errors.Is(err, objectstore.ErrExists):
				t.Errorf("a loser got %v", err)
			}
		})
	}
	close(start)
	wg.Wait()
	if wins.Load() != 1 {
		t.Fatalf("%d writers won", wins.Load())
	}
	return winner
}

func testRace(t *testing.T, s objectstore.Store) {
	for round := range 5 {
		key := fmt.Sprintf("race/%d", round)
		winner := race(t, func(i int) error {
			_, err := s.Put(t.Context(), key, strings.NewReader(fmt.Sprintf("writer %02d", i)), 9, objectstore.PutOptions{IfAbsent: true})
			return err
		})
		if got, want := string(get(t, s, key)), fmt.Sprintf("writer %02d", winner); got != want {
			t.Fatalf("%q is there, the winner wrote %q", got, want)
		}
	}
}

func testCompareAndSwapRace(t *testing.T, s objectstore.Store) {
	now := put(t, s, "counter", "start", objectstore.PutOptions{})
	for round := range 5 {
		winner := race(t, func(i int) error {
			_, err := s.Put(t.Context(), "counter", strings.NewReader(fmt.Sprintf("round %d writer %02d", round, i)), -1, objectstore.PutOptions{IfMatch: now.ETag})
			return err
		})
		if got, want := string(get(t, s, "counter")), fmt.Sprintf("round %d writer %02d", round, winner); got != want {
			t.Fatalf("%q is there, the winner wrote %q", got, want)
		}
		var err error
		if now, err = s.Head(t.Context(), "counter"); err != nil {
			t.Fatal(err)
		}
	}
}

// large is content of more than one part; its last part is short.
func large(seed byte) []byte {
	data := make([]byte, 33<<20+7)
	src := rand.NewChaCha8([32]byte{seed})
	_, _ = src.Read(data)
	return data
}

func testLarge(t *testing.T, s objectstore.Store) {
	data := large(1)
	sum := sha256.Sum256(data)
	for _, size := range []int64{int64(len(data)), -1} {
		info, err := s.Put(t.Context(), "large", bytes.NewReader(data), size, objectstore.PutOptions{SHA256: hex.EncodeToString(sum[:])})
		if err != nil {
			t.Fatal(err)
		}
		if info.Size != int64(len(data)) {
			t.Errorf("size is said to be %d", info.Size)
		}
		if !bytes.Equal(get(t, s, "large"), data) {
			t.Fatal("the content changed")
		}
		if head, err := s.Head(t.Context(), "large"); err != nil || head.SHA256 != hex.EncodeToString(sum[:]) || head.ETag != info.ETag {
			t.Errorf("head is %+v, %v; put said %+v", head, err, info)
		}
	}
	// Exactly one part, and one byte more.
	for _, n := range []int{16 << 20, 16<<20 + 1} {
		if _, err := s.Put(t.Context(), "edge", bytes.NewReader(data[:n]), -1, objectstore.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(get(t, s, "edge"), data[:n]) {
			t.Fatalf("%d bytes changed", n)
		}
	}
}

func testLargeConditions(t *testing.T, s objectstore.Store) {
	a, b := large(1), large(2)
	first, err := s.Put(t.Context(), "large", bytes.NewReader(a), int64(len(a)), objectstore.PutOptions{IfAbsent: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Put(t.Context(), "large", bytes.NewReader(b), int64(len(b)), objectstore.PutOptions{IfAbsent: true})
	wantKind(t, err, objectstore.ErrExists, "put large")
	if _, err := s.Put(t.Context(), "large", bytes.NewReader(b), int64(len(b)), objectstore.PutOptions{IfMatch: first.ETag}); err != nil {
		t.Fatal(err)
	}
	_, err = s.Put(t.Context(), "large", bytes.NewReader(a), int64(len(a)), objectstore.PutOptions{IfMatch: first.ETag})
	wantKind(t, err, objectstore.ErrExists, "put large")
	if !bytes.Equal(get(t, s, "large"), b) {
		t.Fatal("the loser's content is there")
	}
}

// testLargeRace lets multipart uploads meet when they are joined, the place where a client that drops the condition
// lets all of them win.
func testLargeRace(t *testing.T, s objectstore.Store) {
	a := large(3)[:17<<20]
	var joined sync.WaitGroup
	const writers = 3
	joined.Add(writers)
	var wins atomic.Int64
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			// Everyone has looked and sent its first part before anyone ends.
			r := io.MultiReader(bytes.NewReader(a[:len(a)-1]), &barrier{&joined, sync.Once{}}, bytes.NewReader(a[len(a)-1:]))
			_, err := s.Put(t.Context(), "large", r, int64(len(a)), objectstore.PutOptions{IfAbsent: true})
			switch {
			case err == nil:
				wins.Add(1)
			case !errors.Is(err, objectstore.ErrExists):
				t.Errorf("a loser got %v", err)
			}
		})
	}
	wg.Wait()
	if wins.Load() != 1 {
		t.Fatalf("%d writers won", wins.Load())
	}
	if !bytes.Equal(get(t, s, "large"), a) {
		t.Fatal("the content changed")
	}
}

// barrier is an empty reader that ends when everyone is at it.
type barrier struct {
	all  *sync.WaitGroup
	once sync.Once
}

func (b *barrier) Read([]byte) (int, error) {
	b.once.Do(b.all.Done)
	b.all.Wait()
	return 0, io.EOF
}

func testAnnounced(t *testing.T, s objectstore.Store) {
	sum := sha256.Sum256([]byte("right"))
	data := large(1)
	for name, c := range map[string]struct {
		r    io.Reader
		size int64
		opt  objectstore.PutOptions
	}{
		"too short":       {strings.NewReader("abc"), 4, objectstore.PutOptions{}},
		"too long":        {strings.NewReader("abcde"), 4, objectstore.PutOptions{}},
		"wrong digest":    {strings.NewReader("wrong"), 5, objectstore.PutOptions{SHA256: hex.EncodeToString(sum[:])}},
		"large too short": {bytes.NewReader(data), int64(len(data)) + 1, objectstore.PutOptions{}},
		"large too long":  {bytes.NewReader(data), int64(len(data)) - 1, objectstore.PutOptions{}},
		"large wrong":     {bytes.NewReader(data), -1, objectstore.PutOptions{SHA256: hex.EncodeToString(sum[:])}},
	} {
		_, err := s.Put(t.Context(), "k", c.r, c.size, c.opt)
		if !errors.Is(err, objectstore.ErrContent) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	broken := errors.New("disk on fire")
	for _, r := range []io.Reader{iotest.ErrReader(broken), io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken))} {
		if _, err := s.Put(t.Context(), "k", r, -1, objectstore.PutOptions{}); !errors.Is(err, broken) {
			t.Errorf("error of the reader is reported as %v", err)
		}
	}
	if _, err := s.Head(t.Context(), "k"); !errors.Is(err, objectstore.ErrNotFound) {
		t.Errorf("something was written: %v", err)
	}
}

func testList(t *testing.T, s objectstore.Store) {
	keys := []string{"a/1", "a/2", "a/b/3", "ab/4", "b"}
	for _, k := range keys {
		put(t, s, k, k, objectstore.PutOptions{})
	}
	for prefix, want := range map[string][]string{
		"": keys, "a/": {"a/1", "a/2", "a/b/3"}, "a": {"a/1", "a/2", "a/b/3", "ab/4"}, "a/b/": {"a/b/3"}, "zzz": nil,
	} {
		var got []string
		for info, err := range s.List(t.Context(), prefix) {
			if err != nil {
				t.Fatal(err)
			}
			if info.Size != int64(len(info.Key)) || info.ModTime.IsZero() {
				t.Errorf("list says %+v", info)
			}
			got = append(got, info.Key)
		}
		if !slices.Equal(got, want) {
			t.Errorf("prefix %q lists %q, want %q", prefix, got, want)
		}
	}
	for range s.List(t.Context(), "") {
		break // must not hang or leak
	}
}

func testBadKeys(t *testing.T, s objectstore.Store) {
	for _, key := range []string{"", "/a", "a/", "a//b", "../a", "a/./b", "a\x00b", "\xff", strings.Repeat("x", 300), strings.Repeat("x/", 600) + "x"} {
		if _, err := s.Put(t.Context(), key, strings.NewReader(""), 0, objectstore.PutOptions{}); err == nil {
			t.Errorf("key %q was accepted", key)
		}
		if _, _, err := s.Get(t.Context(), key); err == nil || errors.Is(err, objectstore.ErrNotFound) {
			t.Errorf("key %q: %v", key, err)
		}
	}
}

func testCancelled(t *testing.T, s objectstore.Store) {
	stop := errors.New("told to stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	_, err := s.Put(ctx, "k", strings.NewReader("x"), 1, objectstore.PutOptions{})
	if !errors.Is(err, stop) {
		t.Errorf("put: %v", err)
	}
	if _, err := s.Head(ctx, "k"); !errors.Is(err, stop) {
		t.Errorf("head: %v", err)
	}
	for _, err := range s.List(ctx, "") {
		if !errors.Is(err, stop) {
			t.Errorf("list: %v", err)
		}
	}
	if _, err := s.Head(t.Context(), "k"); !errors.Is(err, objectstore.ErrNotFound) {
		t.Errorf("a cancelled put wrote: %v", err)
	}
}

func testProbe(t *testing.T, s objectstore.Store) {
	if err := objectstore.Probe(t.Context(), s); err != nil {
		t.Error(err)
	}
	for info := range s.List(t.Context(), "") {
		t.Errorf("the probe left %s", info.Key)
	}
}
