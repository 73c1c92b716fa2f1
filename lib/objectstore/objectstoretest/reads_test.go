package objectstoretest

import (
	"bytes"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"vapo/lib/objectstore"
	"vapo/lib/objectstore/embedded"
)

// TestBrokenDownload: the reader resumes after a broken or silent connection as long as there is progress, and never
// mixes two versions of an object.
func TestBrokenDownload(t *testing.T) {
	t.Parallel()
	data := large(1)[:1<<20]
	each(t, func(t *testing.T, env embedded.Env) {
		var breaks atomic.Int64
		var stall, atOnce atomic.Bool
		f := Faults{After: func(r *http.Response) error {
			if r.Request.Method == http.MethodGet && r.ContentLength > 1000 && breaks.Add(-1) >= 0 {
				n := min(r.ContentLength/2, 50_000)
				if atOnce.Load() {
					n = 0
				}
				cut(r, n, stall.Load())
			}
			return nil
		}}
		s := f.Open(t, env)
		put(t, s, "k", string(data), objectstore.PutOptions{})

		breaks.Store(15)
		if !bytes.Equal(get(t, s, "k"), data) {
			t.Fatal("the content changed")
		}
		breaks.Store(2)
		stall.Store(true)
		r, err := s.GetRange(t.Context(), "k", 5, 500_000)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || !bytes.Equal(got, data[5:500_005]) {
			t.Fatalf("a range over breaking connections has %d bytes, error %v, want the 500000 stored ones", len(got), err)
		}

		stall.Store(false)
		atOnce.Store(true)
		cfg := f.Proxy(t, env)
		cfg.Patience = 0
		breaks.Store(1000)
		if r, _, err = open(t, cfg).Get(t.Context(), "k"); err == nil {
			got, err = io.ReadAll(r)
			r.Close()
		}
		if !errors.Is(err, objectstore.ErrUnreachable) {
			t.Errorf("a download without progress returned %d bytes, error %v, want ErrUnreachable", len(got), err)
		}

		atOnce.Store(false)
		breaks.Store(1)
		if r, _, err = s.Get(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		put(t, s, "k", string(bytes.ToUpper(data)), objectstore.PutOptions{})
		if got, err := io.ReadAll(r); err == nil && !bytes.Equal(got, data) {
			t.Fatal("two versions were mixed")
		}
		r.Close()
	})
}

// TestBrokenList: a listing resumes after every break.
func TestBrokenList(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, env embedded.Env) {
		var breaks atomic.Int64
		s := Faults{After: func(r *http.Response) error {
			if r.Request.Method == http.MethodGet && r.Request.URL.Query().Has("list-type") && breaks.Add(-1) >= 0 {
				cut(r, 100, breaks.Load() == 0)
			}
			return nil
		}}.Open(t, env)
		for i := range 20 {
			put(t, s, fmt.Sprintf("%02d", i), "", objectstore.PutOptions{})
		}
		breaks.Store(2)
		n := 0
		for info, err := range s.List(t.Context(), "") {
			if err != nil || info.Key != fmt.Sprintf("%02d", n) {
				t.Fatalf("entry %d is %+v, error %v, want key %02d", n, info, err, n)
			}
			n++
		}
		if n != 20 {
			t.Errorf("%d objects are listed, want 20", n)
		}
	})
}

// TestStalls: if a server stops reading a request, or does not answer it, the request is sent again. The connection is
// without TLS for the embedded gateway and with TLS for MinIO.
func TestStalls(t *testing.T) {
	data := make([]byte, 17<<20) // more than the kernel buffers
	_, _ = rand.Read(data)
	authority := filepath.Join(t.TempDir(), "ca.pem")
	t.Setenv("SSL_CERT_FILE", authority)
	for secure, env := range map[bool]embedded.Env{false: EmbeddedEnv(t), true: MinIOEnv(t)} {
		over := make(chan struct{})
		var stalls atomic.Int64
		var reads atomic.Bool
		handler := Faults{Before: func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut || stalls.Add(-1) < 0 {
				return false
			}
			if reads.Load() {
				_, _ = io.Copy(io.Discard, r.Body)
			}
			<-over
			panic(http.ErrAbortHandler)
		}}.handler(t, env)
		srv := httptest.NewUnstartedServer(handler)
		if secure {
			srv.StartTLS()
			block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
			if err := os.WriteFile(authority, block, 0o600); err != nil {
				t.Fatal(err)
			}
		} else {
			srv.Start()
		}
		t.Cleanup(srv.Close)
		t.Cleanup(func() { close(over) })
		s := open(t, Faults{}.config(t, env, srv.URL))
		for _, c := range []bool{false, true} {
			reads.Store(c)
			stalls.Store(1)
			if _, err := s.Put(t.Context(), "k", bytes.NewReader(data), -1, objectstore.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			if stalls.Load() > 0 {
				t.Error("no request stalled")
			}
		}
		if !bytes.Equal(get(t, s, "k"), data) {
			t.Fatal("the content changed")
		}
	}
}
