package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/failure"
)

// TestReadOnlyStore checks that read-only credentials suffice for using cached results, and that a step that would have
// to run fails before it computes.
func TestReadOnlyStore(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	const recipe = "name: one\nsteps:\n  s: {stage: toy}\n"
	w.write("one.yaml", recipe)
	w.must("run", "one.yaml")
	reader := newWorkplace(t)
	reader.write("one.yaml", recipe)
	for _, kv := range w.serve() {
		if endpoint, ok := strings.CutPrefix(kv, "AWS_ENDPOINT_URL="); ok {
			kv = "AWS_ENDPOINT_URL=" + readOnly(t, endpoint)
		}
		reader.env = append(reader.env, kv)
	}
	res := reader.run("run", "one.yaml")
	if res.code != 0 || !strings.Contains(res.stderr, "warning: the history lacks this run") {
		t.Errorf("a cached run ends with %d, want 0 and a warning that the history lacks it:\n%s", res.code, res.stderr)
	}
	if out := reader.must("plan", "one.yaml"); !strings.Contains(out, "hit") {
		t.Errorf("the plan has no hit:\n%s", out)
	}
	reader.must("get", "s.out", "copy")
	res = reader.fails(failure.Store, []string{"read-only", "hint: "}, "run", "one.yaml", "--set", "s.salt=4")
	if logs, _ := filepath.Glob(filepath.Join(reader.dir, ".vapo", "runs", "*", "s.log")); len(logs) != 0 {
		t.Errorf("the stage was started:\n%s", res.stderr)
	}
}

// readOnly starts a proxy to the store at an endpoint that rejects writes, and returns the proxy's endpoint.
func readOnly(t *testing.T, endpoint string) string {
	return refusing(t, endpoint, func(*http.Request) bool { return true })
}

// noBlobs is readOnly for a proxy that rejects only new blobs.
func noBlobs(t *testing.T, endpoint string) string {
	return refusing(t, endpoint, func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/blobs/") })
}

func refusing(t *testing.T, endpoint string, refuses func(write *http.Request) bool) string {
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
	}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead || !refuses(r) {
			proxy.ServeHTTP(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}
