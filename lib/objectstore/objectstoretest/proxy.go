package objectstoretest

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	"vapo/lib/objectstore"
	"vapo/lib/objectstore/embedded"
)

// Faults are what a proxy between a client and a real server does to requests and responses.
type Faults struct {
	// Before may answer a request instead of the server; it then returns true. It may panic with http.ErrAbortHandler to
	// break the connection.
	Before func(w http.ResponseWriter, r *http.Request) bool
	// After may change a response of the server. An error breaks the connection.
	After func(r *http.Response) error
}

// errLost is the error of Faults.After for a response that gets lost.
var errLost = errors.New("response lost")

// Proxy returns the configuration of a client whose requests pass through a proxy. The client waits 30 seconds for an
// unavailable store and regards a transfer as stalled after 0.3 seconds.
func (f Faults) Proxy(t testing.TB, env embedded.Env) objectstore.Config {
	t.Helper()
	srv := httptest.NewServer(f.handler(t, env))
	t.Cleanup(srv.Close)
	return f.config(t, env, srv.URL)
}

func (f Faults) config(t testing.TB, env embedded.Env, endpoint string) objectstore.Config {
	t.Helper()
	env.Endpoint = endpoint
	cfg, err := env.Config()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Patience, cfg.StallTimeout = 30*time.Second, 300*time.Millisecond
	return cfg
}

// Open opens a store through a proxy. See Proxy.
func (f Faults) Open(t testing.TB, env embedded.Env) objectstore.Store {
	t.Helper()
	return open(t, f.Proxy(t, env))
}

func (f Faults) handler(t testing.TB, env embedded.Env) http.Handler {
	t.Helper()
	target, err := url.Parse(env.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		// The client's signature covers the proxy's host name, so the server must receive that name.
		Rewrite:        func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host },
		ModifyResponse: f.After,
		FlushInterval:  -1,
		ErrorLog:       log.New(io.Discard, "", 0),
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.Before == nil || !f.Before(w, r) {
			proxy.ServeHTTP(w, r)
		}
	})
}

// refuse answers a request as a failing server does. It reads the request's body first.
func refuse(w http.ResponseWriter, r *http.Request, status int, code string) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message><RequestId>1</RequestId></Error>", code, code)
}

func isPut(r *http.Request) bool {
	return r.Method == http.MethodPut && !r.URL.Query().Has("uploadId")
}

func isJoin(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}

// cut ends a response's body after n bytes: the connection breaks or, if stall is true, stalls until the client breaks
// it.
func cut(r *http.Response, n int64, stall bool) {
	end := broken{}
	if stall {
		end.wait = r.Request.Context().Done()
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(r.Body, n), end), r.Body}
}

type broken struct{ wait <-chan struct{} }

func (b broken) Read([]byte) (int, error) {
	if b.wait != nil {
		<-b.wait
	}
	return 0, errLost
}

// Soaking reports whether `make soak` runs the tests. Tests that take minutes run only then.
func Soaking() bool { return os.Getenv("VAPO_SOAK") != "" }

// Soak multiplies the number of rounds of a test that may find more errors the longer it runs. The factor is VAPO_SOAK,
// which `make soak` sets, or 1.
func Soak(t testing.TB, rounds int) int {
	text := os.Getenv("VAPO_SOAK")
	if text == "" {
		return rounds
	}
	factor, err := strconv.Atoi(text)
	if err != nil || factor < 1 {
		t.Fatalf("VAPO_SOAK is %q, expected a whole number of 1 or more", text)
	}
	return rounds * factor
}
