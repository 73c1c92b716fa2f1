package objectstoretest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"vapo/lib/objectstore"
	"vapo/lib/objectstore/embedded"
)

// each runs a test against the embedded gateway and MinIO. The tests mostly wait, so they run in parallel.
func each(t *testing.T, test func(t *testing.T, env embedded.Env)) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, EmbeddedEnv(t))
	})
	t.Run("minio", func(t *testing.T) {
		t.Parallel()
		test(t, MinIOEnv(t))
	})
}

// TestOwnRetryWins: a write is applied but its answer is lost or replaced by an error. The retries find that the object
// exists or has changed, and Put still succeeds with the ETag of the object.
func TestOwnRetryWins(t *testing.T) {
	t.Parallel()
	large := large(1)[:17<<20]
	for name, change := range map[string]func(r *http.Response) error{
		"reset": func(*http.Response) error { return errLost },
		"failure": func(r *http.Response) error {
			r.StatusCode, r.Status = http.StatusServiceUnavailable, ""
			r.Body = struct {
				io.Reader
				io.Closer
			}{strings.NewReader(""), r.Body}
			r.ContentLength = 0
			r.Header.Set("Content-Length", "0")
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, env embedded.Env) {
				var lost atomic.Int64
				s := Faults{After: func(r *http.Response) error {
					if (isPut(r.Request) || isJoin(r.Request)) && lost.Add(-1) >= 0 {
						return change(r)
					}
					return nil
				}}.Open(t, env)
				write := func(data []byte, opt objectstore.PutOptions) objectstore.Info {
					t.Helper()
					lost.Store(2)
					info, err := s.Put(t.Context(), "k", bytes.NewReader(data), int64(len(data)), opt)
					if err != nil {
						t.Fatalf("Put failed because of its own first attempt: %v", err)
					}
					head, err := s.Head(t.Context(), "k")
					if err != nil || head.ETag != info.ETag || info.Size != int64(len(data)) {
						t.Errorf("Put returned %+v, then Head %+v, error %v; want the same ETag, and size %d",
							info, head, err, len(data))
					}
					if lost.Load() == 2 {
						t.Error("no response was lost")
					}
					return info
				}
				first := write([]byte("first"), objectstore.PutOptions{IfAbsent: true})
				second := write([]byte("second"), objectstore.PutOptions{IfMatch: first.ETag})
				write(large, objectstore.PutOptions{IfMatch: second.ETag})
				if err := s.Delete(t.Context(), "k"); err != nil {
					t.Fatal(err)
				}
				write(large, objectstore.PutOptions{IfAbsent: true})
			})
		})
	}
}

// TestOtherWriterWins: the first attempt never arrives and another writer creates the object meanwhile. Put fails with
// ErrExists.
func TestOtherWriterWins(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, env embedded.Env) {
		other := Open(t, env)
		var once atomic.Bool
		s := Faults{Before: func(_ http.ResponseWriter, r *http.Request) bool {
			if !isPut(r) || once.Swap(true) {
				return false
			}
			theirs := strings.NewReader("theirs")
			if _, err := other.Put(context.Background(), "k", theirs, 6, objectstore.PutOptions{}); err != nil {
				t.Error(err)
			}
			panic(http.ErrAbortHandler)
		}}.Open(t, env)
		_, err := tryPut(t, s, "k", "mine", objectstore.PutOptions{IfAbsent: true})
		if !errors.Is(err, objectstore.ErrExists) || string(get(t, s, "k")) != "theirs" {
			t.Errorf("error %v, want ErrExists and the other writer's object", err)
		}
	})
}

// TestRefusedByReset: a server resets the connection instead of reading the body. If the object exists, the write was
// refused; otherwise it is retried.
func TestRefusedByReset(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, env embedded.Env) {
		var resets atomic.Int64
		s := Faults{Before: func(w http.ResponseWriter, r *http.Request) bool {
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
		}}.Open(t, env)
		data := strings.Repeat("0123456789abcdef", 4<<16)
		resets.Store(2)
		if _, err := tryPut(t, s, "fresh", data, objectstore.PutOptions{IfAbsent: true}); err != nil {
			t.Errorf("two resets while no object exists: error %v, want none", err)
		}
		old := put(t, s, "taken", "theirs", objectstore.PutOptions{})
		resets.Store(100)
		_, err := tryPut(t, s, "taken", data, objectstore.PutOptions{IfAbsent: true})
		if !errors.Is(err, objectstore.ErrExists) {
			t.Errorf("a reset while another writer's object exists: error %v, want ErrExists", err)
		}
		if n := 100 - resets.Load(); n != 1 {
			t.Errorf("the object was sent %d times, want once", n)
		}
		another := objectstore.PutOptions{IfMatch: "00000000000000000000000000000000"}
		if _, err := tryPut(t, s, "taken", data, another); !errors.Is(err, objectstore.ErrExists) {
			t.Errorf("a reset while an object with another ETag exists: error %v, want ErrExists", err)
		}
		resets.Store(1)
		if _, err := tryPut(t, s, "taken", data, objectstore.PutOptions{IfMatch: old.ETag}); err != nil {
			t.Errorf("a reset while the object still has the ETag: error %v, want none", err)
		}
	})
}

// TestRetried: temporary failures are retried, so the caller does not see them.
func TestRetried(t *testing.T) {
	t.Parallel()
	for code, status := range map[string]int{
		"ConditionalRequestConflict": 409, "OperationAborted": 409, "SlowDown": 503, "InternalError": 500, "BadGateway": 502,
		"GatewayTimeout": 504, "TooManyRequests": 429,
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, env embedded.Env) {
				var left atomic.Int64
				s := Faults{Before: func(w http.ResponseWriter, r *http.Request) bool {
					if left.Add(-1) < 0 {
						return false
					}
					refuse(w, r, status, code)
					return true
				}}.Open(t, env)
				left.Store(3)
				put(t, s, "k", "x", objectstore.PutOptions{IfAbsent: true})
				left.Store(3)
				if got := string(get(t, s, "k")); got != "x" {
					t.Errorf("read %q, want %q", got, "x")
				}
			})
		})
	}
}

// TestNotRetried: permanent failures are reported after one attempt, with their class, even in the middle of an upload
// and by a client that is patient.
func TestNotRetried(t *testing.T) {
	t.Parallel()
	env := EmbeddedEnv(t) // one server suffices, because the refused requests never reach it
	data := large(2)
	for code, c := range map[string]struct {
		status int
		kinds  []error
	}{
		"AccessDenied":                 {403, []error{objectstore.ErrReadOnly, objectstore.ErrDenied}},
		"ExpiredToken":                 {403, []error{objectstore.ErrDenied}},
		"MethodNotAllowed":             {405, []error{objectstore.ErrReadOnly}},
		"InsufficientStorage":          {507, []error{objectstore.ErrNoSpace, syscall.ENOSPC}},
		"QuotaExceeded":                {403, []error{objectstore.ErrNoSpace}},
		"XMinioStorageFull":            {507, []error{objectstore.ErrNoSpace}},
		"RequestTimeTooSkewed":         {403, []error{objectstore.ErrDenied}},
		"AuthorizationHeaderMalformed": {400, []error{objectstore.ErrDenied}},
		"NoSuchBucket":                 {404, []error{objectstore.ErrNoBucket}},
	} {
		var refused atomic.Int64
		s := Faults{Before: func(w http.ResponseWriter, r *http.Request) bool {
			// Only the second part of an upload and objects that are sent in one request are refused.
			if part := r.URL.Query().Get("partNumber"); r.Method != http.MethodPut || part != "" && part != "2" {
				return false
			}
			refused.Add(1)
			refuse(w, r, c.status, code)
			return true
		}}.Open(t, env)
		for _, size := range []int{1, len(data)} {
			refused.Store(0)
			_, err := s.Put(t.Context(), "k", bytes.NewReader(data[:size]), int64(size), objectstore.PutOptions{})
			for _, kind := range c.kinds {
				if !errors.Is(err, kind) {
					t.Errorf("%s: error is %v, want %v", code, err, kind)
				}
			}
			var typed *objectstore.Error
			if !errors.As(err, &typed) || typed.Hint == "" {
				t.Errorf("%s: error %v has no hint", code, err)
			}
			if refused.Load() != 1 {
				t.Errorf("%s: the request was sent %d times, want once", code, refused.Load())
			}
		}
	}
}

// TestRefusedAgainAndAgain: if the server says that a condition is violated, Put fails after one attempt. If the server
// keeps failing, Put fails after several attempts.
func TestRefusedAgainAndAgain(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, env embedded.Env) {
		var code atomic.Value
		var sent atomic.Int64
		f := Faults{Before: func(w http.ResponseWriter, r *http.Request) bool {
			if !isPut(r) {
				return false
			}
			sent.Add(1)
			status := http.StatusPreconditionFailed
			if code.Load() == "InternalError" {
				status = http.StatusInternalServerError
			}
			refuse(w, r, status, code.Load().(string))
			return true
		}}
		s := f.Open(t, env)
		code.Store("PreconditionFailed")
		_, err := tryPut(t, s, "k", "x", objectstore.PutOptions{IfAbsent: true})
		if !errors.Is(err, objectstore.ErrExists) || sent.Load() != 1 {
			t.Errorf("after %d requests: error %v, want ErrExists after one", sent.Load(), err)
		}
		sent.Store(0)
		code.Store("InternalError")
		if _, err := tryPut(t, s, "k", "x", objectstore.PutOptions{}); err == nil || sent.Load() < 2 {
			t.Errorf("after %d requests: error %v, want one after several requests", sent.Load(), err)
		}
	})
}
