package objectstore_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
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

// clear checks that an error is of the given kind, names the store, has a hint and contains no secret.
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
		t.Errorf("error and hint %q do not name the store's endpoint and bucket", text)
	}
	if strings.Contains(text, cfg.SecretKey) {
		t.Errorf("error and hint %q contain the secret key", text)
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
		t.Error("the error contains the store's secret key")
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
		t.Error("the error of a missing bucket matches ErrNotFound")
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
			t.Errorf("%s: no error, although the server is no store", name)
		}
		if errors.Is(err, objectstore.ErrNoBucket) {
			t.Errorf("%s: error %v of a server that is no store matches ErrNoBucket", name, err)
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
				t.Errorf("error %v, want a hint about prefixes", err)
			}
		}
	}
}
