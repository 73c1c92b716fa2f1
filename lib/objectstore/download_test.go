package objectstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"vapo/lib/objectstore"
	"vapo/lib/objectstore/objectstoretest"
)

// TestBrokenDownload: the reader resumes after a broken connection and never mixes two versions of an object.
func TestBrokenDownload(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	var breaks atomic.Int64
	breakOff := func(r *http.Response) error {
		if r.Request.Method == http.MethodGet && r.ContentLength > 1000 && breaks.Add(-1) >= 0 {
			r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, r.ContentLength/2), broken{}))
		}
		return nil
	}
	s := fault{after: breakOff}.open(t)
	if _, err := s.Put(t.Context(), "k", bytes.NewReader(data), -1, objectstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	breaks.Store(3)
	r, _, err := s.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	r.Close()
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes read, %v", len(got), err)
	}
	breaks.Store(2)
	if r, err = s.GetRange(t.Context(), "k", 5, 500_000); err != nil {
		t.Fatal(err)
	}
	got, err = io.ReadAll(r)
	r.Close()
	if err != nil || !bytes.Equal(got, data[5:500_005]) {
		t.Fatalf("%d bytes of a range read, %v", len(got), err)
	}
	breaks.Store(1000)
	if r, _, err = s.Get(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if got, err = io.ReadAll(r); err == nil {
		t.Fatalf("a download that never ended was accepted after %d bytes", len(got))
	}
	r.Close()

	breaks.Store(1)
	if r, _, err = s.Get(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), "k", bytes.NewReader(bytes.ToUpper(data)), -1, objectstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err == nil && !bytes.Equal(got, data) {
		t.Fatal("two versions were mixed")
	}
	r.Close()
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errLost }

// unconditional is a store that ignores the conditions of Put, as some real stores do.
type unconditional struct{ objectstore.Store }

func (u unconditional) Put(
	ctx context.Context, key string, r io.Reader, size int64, _ objectstore.PutOptions,
) (objectstore.Info, error) {
	return u.Store.Put(ctx, key, r, size, objectstore.PutOptions{})
}

func TestProbeFindsUnconditionalStore(t *testing.T) {
	s := objectstoretest.Embedded(t)
	err := objectstore.Probe(t.Context(), unconditional{s})
	if !errors.Is(err, objectstore.ErrUnconditional) {
		t.Errorf("error is %v", err)
	}
	for info := range s.List(t.Context(), "") {
		t.Errorf("the probe left %s", info.Key)
	}
}
