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

// clear checks what every failure owes a person.
func clear(t *testing.T, err, kind error, cfg objectstore.Config) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error is %v, want %v", err, kind)
	}
	var typed *objectstore.Error
	if !errors.As(err, &typed) {
		t.Fatalf("error %v is no *objectstore.Error", err)
	}
	if typed.Hint == "" {
		t.Errorf("error %q gives no hint", err)
	}
	text := err.Error() + typed.Hint
	if !strings.Contains(text, cfg.Endpoint) || !strings.Contains(text, cfg.Bucket) {
		t.Errorf("error %q does not name the store", text)
	}
	if strings.Contains(text, cfg.SecretKey) {
		t.Errorf("error %q tells the secret", text)
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
		t.Error("the error tells the right secret")
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

// fault stands between the client and the real gateway.
type fault struct {
	// before may answer a request itself, by returning true.
	before func(w http.ResponseWriter, r *http.Request) bool
	// after may break off a response that the gateway gave.
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
		// The client signed the proxy's name, so the gateway has to see it.
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

// lostOnce lets the first n requests that match happen and loses the answer.
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

// TestOwnRetryWins: the first attempt created the object and its answer was lost, so the second one finds the condition
// broken by itself.
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
	if _, err := s.Put(t.Context(), "large", bytes.NewReader(data), int64(len(data)), objectstore.PutOptions{IfAbsent: true}); err != nil {
		t.Fatalf("a writer lost to itself: %v", err)
	}
}

// TestOtherWriterWins: the answer was lost and the object is another's.
func TestOtherWriterWins(t *testing.T) {
	var other objectstore.Store
	var once atomic.Bool
	f := fault{before: func(_ http.ResponseWriter, r *http.Request) bool {
		if !isPut(r) || other == nil || once.Swap(true) {
			return false
		}
		if _, err := other.Put(context.Background(), "k", strings.NewReader("theirs"), 6, objectstore.PutOptions{}); err != nil {
			t.Error(err)
		}
		panic(http.ErrAbortHandler) // this writer's request never arrived
	}}
	s := f.open(t)
	other = s // its put passes: once is set by then
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

// TestRetried: what passes by itself does not reach the caller.
func TestRetried(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
	}{{409, "ConditionalRequestConflict"}, {409, "OperationAborted"}, {503, "SlowDown"}, {500, "InternalError"}, {502, "BadGateway"}, {429, "TooManyRequests"}} {
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

// TestNotRetried: what does not pass by itself is reported after one attempt, as what it is.
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
			t.Errorf("%s: error %v gives no hint", c.code, err)
		}
		if seen.Load() != 1 {
			t.Errorf("%s: sent %d times", c.code, seen.Load())
		}
	}
}

// TestBrokenDownload: the reader continues where the connection broke, and does not mix in another version.
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
		t.Fatalf("a download that never ended was taken for whole after %d bytes", len(got))
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

// deaf ignores conditions, as some stores do.
type deaf struct{ objectstore.Store }

func (d deaf) Put(ctx context.Context, key string, r io.Reader, size int64, _ objectstore.PutOptions) (objectstore.Info, error) {
	return d.Store.Put(ctx, key, r, size, objectstore.PutOptions{})
}

func TestProbeFindsDeafStore(t *testing.T) {
	s := objectstoretest.Embedded(t)
	err := objectstore.Probe(t.Context(), deaf{s})
	if !errors.Is(err, objectstore.ErrUnconditional) {
		t.Errorf("error is %v", err)
	}
	for info := range s.List(t.Context(), "") {
		t.Errorf("the probe left %s", info.Key)
	}
}

func TestFromEnv(t *testing.T) {
	good := map[string]string{
		"AWS_ENDPOINT_URL": "http://localhost:9000", "AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "hush-hush", "VAPO_STORE": "s3://bucket/team/vapo/",
	}
	with := func(name, value string) func(string) string {
		return func(asked string) string {
			if asked == name {
				return value
			}
			return good[asked]
		}
	}
	cfg, err := objectstore.FromEnv(with("", ""))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.String() != "s3://bucket/team/vapo at http://localhost:9000" || cfg.Region != "us-east-1" {
		t.Errorf("config is %s, region %s", &cfg, cfg.Region)
	}
	if cfg, err := objectstore.FromEnv(with("AWS_ENDPOINT_URL", "")); err != nil || !strings.Contains(cfg.String(), "https://s3.us-east-1.amazonaws.com") {
		t.Errorf("without an endpoint: %s, %v", &cfg, err)
	}
	for _, c := range [][2]string{
		{"VAPO_STORE", ""}, {"VAPO_STORE", "bucket"}, {"VAPO_STORE", "s3://"}, {"VAPO_STORE", "s3://UPPER"}, {"VAPO_STORE", "s3://bucket/../x"}, {"VAPO_STORE", "s3://bucket//x"},
		{"AWS_ACCESS_KEY_ID", ""}, {"AWS_SECRET_ACCESS_KEY", ""},
		{"AWS_ENDPOINT_URL", "localhost:9000"}, {"AWS_ENDPOINT_URL", "ftp://x"}, {"AWS_ENDPOINT_URL", "http://user:hush-hush@host"}, {"AWS_ENDPOINT_URL", "http://host/path"}, {"AWS_ENDPOINT_URL", "http://"},
	} {
		_, err := objectstore.FromEnv(with(c[0], c[1]))
		if !errors.Is(err, objectstore.ErrConfig) || !strings.Contains(err.Error(), c[0]) {
			t.Errorf("%s=%q: error %v", c[0], c[1], err)
		}
		if err != nil && strings.Contains(err.Error(), "hush-hush") {
			t.Errorf("error %q tells a secret", err)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"s3://bucket/prefix", "s3://b", "s3://bucket/", "s3:///x", "http://x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		bucket, prefix, err := objectstore.ParseURL(s)
		if err != nil {
			if !errors.Is(err, objectstore.ErrConfig) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		again := "s3://" + bucket
		if prefix != "" {
			again += "/" + prefix
		}
		if b, p, err := objectstore.ParseURL(again); b != bucket || p != prefix || err != nil {
			t.Fatalf("%q gives %q %q, then %q %q, %v", s, bucket, prefix, b, p, err)
		}
	})
}
