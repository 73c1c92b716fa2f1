package objectstoretest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"vapo/lib/failure"
	"vapo/lib/objectstore"
)

// Run checks a store against the contract of objectstore.Store. open returns a new empty store.
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
		{"DeleteUnchanged", testDeleteUnchanged},
		{"BadKeys", testBadKeys},
		{"Cancelled", testCancelled},
		{"Probe", testProbe},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

func tryPut(
	t testing.TB, s objectstore.Store, key, content string, opt objectstore.PutOptions,
) (objectstore.Info, error) {
	return s.Put(t.Context(), key, strings.NewReader(content), int64(len(content)), opt)
}

func put(t testing.TB, s objectstore.Store, key, content string, opt objectstore.PutOptions) objectstore.Info {
	t.Helper()
	info, err := tryPut(t, s, key, content, opt)
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
		t.Errorf("%s: %d bytes read, Info.Size is %d", key, len(data), info.Size)
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
		t.Errorf("error %v is not an *objectstore.Error", err)
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
		want := objectstore.Info{Key: c.key, Size: int64(len(c.content)), ETag: made.ETag, ModTime: head.ModTime}
		if head != want || head.ETag == "" || head.ModTime.IsZero() {
			t.Errorf("%s: head is %+v, want %+v, with an ETag and a time", c.key, head, want)
		}
	}
	put(t, s, "a", "hello", objectstore.PutOptions{SHA256: strings.ToUpper(hex.EncodeToString(sum[:]))})
	if head, err := s.Head(t.Context(), "a"); err != nil || head.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("the digest is %q, error %v, want the one given to Put, %x", head.SHA256, err, sum)
	}
	if err := s.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Head(t.Context(), "a"); !errors.Is(err, objectstore.ErrNotFound) {
		t.Errorf("head after delete: error %v, want ErrNotFound", err)
	}
	// Put must also accept a reader that cannot seek and has no known size.
	stream := iotest.OneByteReader(strings.NewReader("stream"))
	if _, err := s.Put(t.Context(), "stream", stream, -1, objectstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := string(get(t, s, "stream")); got != "stream" {
		t.Errorf("stream: read %q, wrote %q", got, "stream")
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
		t.Error("the error of a missing object matches ErrNoBucket")
	}
	if err := s.Delete(t.Context(), "nobody"); err != nil {
		t.Errorf("delete of a missing object: error %v, want none", err)
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
		if !errors.Is(err, objectstore.ErrContent) || failure.ClassOf(err) != failure.Integrity {
			t.Errorf("%s: error %v of class %v, want ErrContent of class integrity", name, err, failure.ClassOf(err))
		}
	}
	broken := errors.New("disk on fire")
	for _, before := range [][]byte{nil, data} {
		r := io.MultiReader(bytes.NewReader(before), iotest.ErrReader(broken))
		_, err := s.Put(t.Context(), "k", r, -1, objectstore.PutOptions{})
		if !errors.Is(err, broken) || failure.ClassOf(err) != failure.Input {
			t.Errorf("the reader's error is reported as %v of class %v, want %v of class input", err, failure.ClassOf(err),
				broken)
		}
	}
	if _, err := s.Head(t.Context(), "k"); !errors.Is(err, objectstore.ErrNotFound) {
		t.Errorf("head after failed writes: error %v, want ErrNotFound", err)
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
				t.Errorf("list returns %+v, want size %d and a time", info, len(info.Key))
			}
			got = append(got, info.Key)
		}
		if !slices.Equal(got, want) {
			t.Errorf("prefix %q lists %q, want %q", prefix, got, want)
		}
	}
	for range s.List(t.Context(), "") {
		break // stopping early must not hang
	}
}

func testBadKeys(t *testing.T, s objectstore.Store) {
	long, deep := strings.Repeat("x", 300), strings.Repeat("x/", 600)+"x"
	for _, key := range []string{"", "/a", "a/", "a//b", "../a", "a/./b", "a\x00b", "\xff", long, deep} {
		if _, err := s.Put(t.Context(), key, strings.NewReader(""), 0, objectstore.PutOptions{}); err == nil {
			t.Errorf("key %q was accepted", key)
		}
		if _, _, err := s.Get(t.Context(), key); err == nil || errors.Is(err, objectstore.ErrNotFound) {
			t.Errorf("key %q: error %v, want one other than ErrNotFound", key, err)
		}
	}
}

func testCancelled(t *testing.T, s objectstore.Store) {
	stop := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	_, err := s.Put(ctx, "k", strings.NewReader("x"), 1, objectstore.PutOptions{})
	if !errors.Is(err, stop) {
		t.Errorf("put: error %v, want the cause of the cancellation", err)
	}
	if _, err := s.Head(ctx, "k"); !errors.Is(err, stop) {
		t.Errorf("head: error %v, want the cause of the cancellation", err)
	}
	for _, err := range s.List(ctx, "") {
		if !errors.Is(err, stop) {
			t.Errorf("list: error %v, want the cause of the cancellation", err)
		}
	}
	if _, err := s.Head(t.Context(), "k"); !errors.Is(err, objectstore.ErrNotFound) {
		t.Errorf("head after a cancelled put: error %v, want ErrNotFound", err)
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
