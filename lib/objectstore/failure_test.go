package objectstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"vapo/lib/objectstore"
	"vapo/lib/objectstore/embedded"
	"vapo/lib/objectstore/objectstoretest"
)

func TestMain(m *testing.M) { os.Exit(objectstoretest.Main(m)) }

func config(t testing.TB, env embedded.Env) objectstore.Config {
	t.Helper()
	cfg, err := env.Config()
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// clear checks that an error names the store and has a hint, but no secret.
func clear(t *testing.T, err, kind error, cfg objectstore.Config) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error is %v, want %v", err, kind)
	}
	var typed *objectstore.Error
	if !errors.As(err, &typed) {
		t.Fatalf("error %v is not an *objectstore.Error", err)
	}
	if typed.Hint == "" {
		t.Errorf("error %q has no hint", err)
	}
	text := err.Error() + typed.Hint
	if !strings.Contains(text, cfg.Endpoint) || !strings.Contains(text, cfg.Bucket) {
		t.Errorf("error %q does not name the store", text)
	}
	if strings.Contains(text, cfg.SecretKey) {
		t.Errorf("error %q contains the secret", text)
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(t, objectstoretest.EmbeddedEnv(t))
	cfg.Endpoint = "http://" + l.Addr().String()
	l.Close()
	_, err = objectstore.Open(t.Context(), cfg)
	clear(t, err, objectstore.ErrUnreachable, cfg)

	cfg.Endpoint = "http://no-such-host.invalid"
	_, err = objectstore.Open(t.Context(), cfg)
	clear(t, err, objectstore.ErrUnreachable, cfg)
}

func TestWrongCredentials(t *testing.T) {
	cfg := config(t, objectstoretest.EmbeddedEnv(t))
	wrong := cfg
	wrong.SecretKey = "not-the-secret-at-all"
	_, err := objectstore.Open(t.Context(), wrong)
	clear(t, err, objectstore.ErrDenied, wrong)
	if strings.Contains(err.Error(), cfg.SecretKey) {
		t.Error("the error contains the right secret")
	}
	wrong = cfg
	wrong.AccessKey = "nobody"
	_, err = objectstore.Open(t.Context(), wrong)
	clear(t, err, objectstore.ErrDenied, wrong)
}

func TestMissingBucket(t *testing.T) {
	cfg := config(t, objectstoretest.EmbeddedEnv(t))
	cfg.Bucket = "elsewhere"
	_, err := objectstore.Open(t.Context(), cfg)
	clear(t, err, objectstore.ErrNoBucket, cfg)
	if errors.Is(err, objectstore.ErrNotFound) {
		t.Error("a missing bucket passes for a missing object")
	}
}

func TestNotAStore(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"page":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>welcome</html>") },
		"empty": func(http.ResponseWriter, *http.Request) {},
		"404":   http.NotFound,
	} {
		srv := httptest.NewServer(h)
		cfg := config(t, objectstoretest.EmbeddedEnv(t))
		cfg.Endpoint = srv.URL
		s, err := objectstore.Open(t.Context(), cfg)
		if err == nil {
			err = objectstore.Probe(t.Context(), s)
		}
		if err == nil {
			t.Errorf("%s: a web server passes for a store", name)
		}
		srv.Close()
	}
}

func TestObjectAsDirectory(t *testing.T) {
	s := objectstoretest.Embedded(t)
	for _, key := range []string{"a", "a/b"} {
		_, err := s.Put(t.Context(), key, strings.NewReader("x"), 1, objectstore.PutOptions{})
		if key == "a/b" {
			var typed *objectstore.Error
			if !errors.As(err, &typed) || !strings.Contains(typed.Hint, "prefix") {
				t.Errorf("error is %v", err)
			}
		}
	}
}

// fault configures a proxy between the client and the real gateway.
type fault struct {
	// before may answer a request instead of the gateway; it then returns true.
	before func(w http.ResponseWriter, r *http.Request) bool
	// after may drop a response of the gateway by returning an error.
	after func(r *http.Response) error
}

func (f fault) open(t *testing.T) objectstore.Store {
	t.Helper()
	env := objectstoretest.EmbeddedEnv(t)
	target, err := url.Parse(env.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		// The client's signature covers the proxy's host name, so the gateway must receive that name.
		Rewrite:        func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host },
		ModifyResponse: f.after,
		ErrorLog:       log.New(io.Discard, "", 0),
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.before == nil || !f.before(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	env.Endpoint = srv.URL
	return objectstoretest.Open(t, env)
}

var errLost = errors.New("response lost")

// lostOnce forwards all requests but drops the responses to the first n requests that match.
func lostOnce(n int64, match func(*http.Request) bool) func(*http.Response) error {
	var seen atomic.Int64
	return func(r *http.Response) error {
		if match(r.Request) && seen.Add(1) <= n {
			return errLost
		}
		return nil
	}
}

func isPut(r *http.Request) bool { return r.Method == http.MethodPut && !r.URL.Query().Has("uploadId") }
func isJoin(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}

// TestOwnRetryWins: the first attempt creates the object but its response is lost. The second attempt finds that the
// object exists, and Put still succeeds.
func TestOwnRetryWins(t *testing.T) {
	s := fault{after: lostOnce(1, isPut)}.open(t)
	info, err := s.Put(t.Context(), "k", strings.NewReader("mine"), 4, objectstore.PutOptions{IfAbsent: true})
	if err != nil {
		t.Fatalf("a writer lost to itself: %v", err)
	}
	head, err := s.Head(t.Context(), "k")
	if err != nil || head.ETag != info.ETag || info.Size != 4 {
		t.Errorf("put returned %+v, head %+v, %v", info, head, err)
	}
}

func TestOwnRetryWinsCompareAndSwap(t *testing.T) {
	env := fault{after: lostOnce(1, func(r *http.Request) bool { return isPut(r) && r.Header.Get("If-Match") != "" })}
	s := env.open(t)
	a, err := s.Put(t.Context(), "k", strings.NewReader("a"), 1, objectstore.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Put(t.Context(), "k", strings.NewReader("b"), 1, objectstore.PutOptions{IfMatch: a.ETag})
	if err != nil {
		t.Fatalf("a writer lost to itself: %v", err)
	}
	if _, err := s.Put(t.Context(), "k", strings.NewReader("c"), 1, objectstore.PutOptions{IfMatch: b.ETag}); err != nil {
		t.Errorf("the ETag that was read back does not match: %v", err)
	}
}

func TestOwnRetryWinsLarge(t *testing.T) {
	s := fault{after: lostOnce(1, isJoin)}.open(t)
	data := bytes.Repeat([]byte("0123456789abcdef"), 17<<16)
	opt := objectstore.PutOptions{IfAbsent: true}
	if _, err := s.Put(t.Context(), "large", bytes.NewReader(data), int64(len(data)), opt); err != nil {
		t.Fatalf("a writer lost to itself: %v", err)
	}
}

// TestOtherWriterWins: the first attempt never arrives and another writer creates the object meanwhile. Put fails with
// ErrExists.
func TestOtherWriterWins(t *testing.T) {
	var other objectstore.Store
	var once atomic.Bool
	f := fault{before: func(_ http.ResponseWriter, r *http.Request) bool {
		if !isPut(r) || other == nil || once.Swap(true) {
			return false
		}
		theirs := strings.NewReader("theirs")
		if _, err := other.Put(context.Background(), "k", theirs, 6, objectstore.PutOptions{}); err != nil {
			t.Error(err)
		}
		panic(http.ErrAbortHandler) // drops this writer's request
	}}
	s := f.open(t)
	other = s // the other writer uses the same proxy, which lets its request pass because once is set by then
	_, err := s.Put(t.Context(), "k", strings.NewReader("mine"), 4, objectstore.PutOptions{IfAbsent: true})
	if !errors.Is(err, objectstore.ErrExists) {
		t.Errorf("error is %v", err)
	}
}

func answer(status int, code string) func(w http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
	}
}

// TestRetried: temporary failures are retried, so the caller does not see them.
func TestRetried(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
	}{
		{409, "ConditionalRequestConflict"}, {409, "OperationAborted"}, {503, "SlowDown"},
		{500, "InternalError"}, {502, "BadGateway"}, {429, "TooManyRequests"},
	} {
		t.Run(c.code, func(t *testing.T) {
			t.Parallel()
			var seen atomic.Int64
			s := fault{before: func(w http.ResponseWriter, r *http.Request) bool {
				if !isPut(r) || seen.Add(1) > 2 {
					return false
				}
				_, _ = io.Copy(io.Discard, r.Body)
				answer(c.status, c.code)(w)
				return true
			}}.open(t)
			if _, err := s.Put(t.Context(), "k", strings.NewReader("x"), 1, objectstore.PutOptions{IfAbsent: true}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNotRetried: permanent failures are reported after one attempt, with their class.
func TestNotRetried(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		kinds  []error
	}{
		{403, "AccessDenied", []error{objectstore.ErrReadOnly, objectstore.ErrDenied}},
		{405, "MethodNotAllowed", []error{objectstore.ErrReadOnly}},
		{507, "InsufficientStorage", []error{objectstore.ErrNoSpace, syscall.ENOSPC}},
		{403, "QuotaExceeded", []error{objectstore.ErrNoSpace}},
		{507, "XMinioStorageFull", []error{objectstore.ErrNoSpace}},
		{403, "RequestTimeTooSkewed", []error{objectstore.ErrDenied}},
		{400, "AuthorizationHeaderMalformed", []error{objectstore.ErrDenied}},
		{404, "NoSuchBucket", []error{objectstore.ErrNoBucket}},
	} {
		var seen atomic.Int64
		s := fault{before: func(w http.ResponseWriter, r *http.Request) bool {
			if !isPut(r) {
				return false
			}
			seen.Add(1)
			_, _ = io.Copy(io.Discard, r.Body)
			answer(c.status, c.code)(w)
			return true
		}}.open(t)
		_, err := s.Put(t.Context(), "k", strings.NewReader("x"), 1, objectstore.PutOptions{})
		for _, kind := range c.kinds {
			if !errors.Is(err, kind) {
				t.Errorf("%s: error is %v, want %v", c.code, err, kind)
			}
		}
		var typed *objectstore.Error
		if !errors.As(err, &typed) || typed.Hint == "" {
			t.Errorf("%s: error %v has no hint", c.code, err)
		}
		if seen.Load() != 1 {
			t.Errorf("%s: sent %d times", c.code, seen.Load())
		}
	}
}
