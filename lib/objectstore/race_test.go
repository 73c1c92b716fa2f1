package objectstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"vapo/lib/objectstore"
	"vapo/lib/objectstore/objectstoretest"
)

// TestLoserOfARace: if several writers write one large object, one wins. The others learn that the object exists,
// although the gateway refuses them before it has read their data.
func TestLoserOfARace(t *testing.T) {
	s := objectstoretest.Embedded(t)
	data := bytes.Repeat([]byte("0123456789abcdef"), 8<<16)
	for round := range 4 {
		var won atomic.Int64
		var group errgroup.Group
		for range 8 {
			group.Go(func() error {
				size, opt := int64(len(data)), objectstore.PutOptions{IfAbsent: true}
				_, err := s.Put(t.Context(), fmt.Sprint(round), bytes.NewReader(data), size, opt)
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, objectstore.ErrExists) {
					return err
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil || won.Load() != 1 {
			t.Fatalf("round %d: %d writers won, %v", round, won.Load(), err)
		}
	}
}

// TestRefusedByReset: a server resets the connection instead of reading the body. If the object exists, the write was
// refused; otherwise it is retried.
func TestRefusedByReset(t *testing.T) {
	var resets atomic.Int64
	s := fault{before: func(w http.ResponseWriter, r *http.Request) bool {
		if !isPut(r) || r.ContentLength < 1<<20 || resets.Add(-1) < 0 {
			return false
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return true
		}
		_, _ = io.CopyN(io.Discard, conn, 1<<10)
		_ = conn.(*net.TCPConn).SetLinger(0) // otherwise the kernel would send the remaining data first
		_ = conn.Close()
		return true
	}}.open(t)
	data := strings.Repeat("0123456789abcdef", 4<<16)
	put := func(key string, opt objectstore.PutOptions) error {
		_, err := s.Put(t.Context(), key, strings.NewReader(data), int64(len(data)), opt)
		return err
	}
	resets.Store(2)
	if err := put("fresh", objectstore.PutOptions{IfAbsent: true}); err != nil {
		t.Errorf("two resets and no object: %v", err)
	}
	old, err := s.Put(t.Context(), "taken", strings.NewReader("theirs"), 6, objectstore.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	resets.Store(100)
	if err := put("taken", objectstore.PutOptions{IfAbsent: true}); !errors.Is(err, objectstore.ErrExists) {
		t.Errorf("a reset and another's object: %v", err)
	}
	if n := 100 - resets.Load(); n != 1 {
		t.Errorf("the object was sent %d times", n)
	}
	another := objectstore.PutOptions{IfMatch: "00000000000000000000000000000000"}
	if err := put("taken", another); !errors.Is(err, objectstore.ErrExists) {
		t.Errorf("a reset and an object that does not match: %v", err)
	}
	resets.Store(1)
	if err := put("taken", objectstore.PutOptions{IfMatch: old.ETag}); err != nil {
		t.Errorf("a reset and an object that matches: %v", err)
	}
}
