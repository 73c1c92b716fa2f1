package objectstore_test

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"vapo/lib/failure"
	"vapo/lib/objectstore"
	"vapo/lib/objectstore/objectstoretest"
)

// TestWrongAddress: each wrong setting has one hint, which names the variable to change. Nothing is retried.
func TestWrongAddress(t *testing.T) {
	secure := objectstoretest.MinIOTLS(t)
	minio, embedded := config(t, objectstoretest.MinIOEnv(t)), config(t, objectstoretest.EmbeddedEnv(t))
	embedded.Gateway = "" // the client treats the gateway like any other server
	for name, good := range map[string]objectstore.Config{"TLS": secure, "MinIO": minio, "embedded": embedded} {
		if _, err := objectstore.Open(t.Context(), good); err != nil {
			t.Fatalf("%s, before any change to the settings: %v", name, err)
		}
		otherScheme, region := "use https:// in AWS_ENDPOINT_URL", "set AWS_REGION to the bucket's region, us-east-1"
		if name == "TLS" {
			region = "set AWS_REGION to the bucket's region, eu-west-1"
		} else {
			otherScheme = "use http:// in AWS_ENDPOINT_URL"
		}
		for hint, change := range map[string]func(c *objectstore.Config){
			otherScheme: func(c *objectstore.Config) {
				if c.Endpoint = strings.Replace(good.Endpoint, "http:", "https:", 1); c.Endpoint == good.Endpoint {
					c.Endpoint = strings.Replace(good.Endpoint, "https:", "http:", 1)
				}
			},
			region:                         func(c *objectstore.Config) { c.Region = "mars-north-1" },
			"create the bucket":            func(c *objectstore.Config) { c.Bucket = "elsewhere" },
			"AWS_SESSION_TOKEN":            func(c *objectstore.Config) { c.SessionToken = "garbage" },
			"does not know AWS_ACCESS_KEY": func(c *objectstore.Config) { c.AccessKey = "nobody" },
			"AWS_SECRET_ACCESS_KEY does":   func(c *objectstore.Config) { c.SecretKey = "not-the-secret-at-all" },
		} {
			cfg := good
			change(&cfg)
			cfg.Patience = time.Hour // a retry would keep the test from ending
			cfg.WaitAtOpen = true
			_, err := objectstore.Open(t.Context(), cfg)
			if err == nil || !strings.Contains(failure.HintOf(err), hint) || failure.ClassOf(err) != failure.Store {
				t.Errorf("%s: error %v, hint %q, want class store and the hint %q", name, err, failure.HintOf(err), hint)
			}
		}
	}
}

// TestCertificates: if a server's certificate cannot be verified, the hint says which setting to change.
func TestCertificates(t *testing.T) {
	good := objectstoretest.MinIOTLS(t)
	text := filepath.Join(t.TempDir(), "text.pem")
	write(t, text, "no certificate")
	for _, c := range []struct {
		change func(c *objectstore.Config)
		class  failure.Class
		hint   string
	}{
		{func(c *objectstore.Config) { c.CABundle = "" }, failure.Store, "AWS_CA_BUNDLE"},
		{func(c *objectstore.Config) { c.CABundle = "/nowhere" }, failure.Usage, "AWS_CA_BUNDLE"},
		{func(c *objectstore.Config) { c.CABundle = text }, failure.Usage, "AWS_CA_BUNDLE"},
		{func(c *objectstore.Config) { c.Endpoint = strings.Replace(c.Endpoint, "127.0.0.1", "localhost", 1) }, failure.Store,
			"use a name that is in the server's certificate"},
	} {
		cfg := good
		c.change(&cfg)
		cfg.Patience, cfg.WaitAtOpen = time.Hour, true
		_, err := objectstore.Open(t.Context(), cfg)
		if failure.ClassOf(err) != c.class || !strings.Contains(failure.HintOf(err), c.hint) {
			t.Errorf("error %v, hint %q, want class %v and the hint %q", err, failure.HintOf(err), c.class, c.hint)
		}
	}
}

// TestSilentServers: if the endpoint has the wrong scheme, the hint says so even if the server closes the connection
// without an answer.
func TestSilentServers(t *testing.T) {
	cfg := config(t, objectstoretest.EmbeddedEnv(t))
	cfg.Gateway, cfg.Patience, cfg.WaitAtOpen = "", time.Hour, true
	var connections atomic.Int64
	// serve accepts connections. If a connection begins as wantTLS says (TLS begins with 0x16), serve forwards it to addr.
	// Otherwise serve closes it without an answer.
	serve := func(addr string, wantTLS bool) (host string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				connections.Add(1)
				go func() {
					defer conn.Close()
					first := make([]byte, 1)
					if _, err := conn.Read(first); err != nil || (first[0] == 0x16) != wantTLS {
						return
					}
					server, err := net.Dial("tcp", addr)
					if err != nil {
						return
					}
					defer server.Close()
					_, _ = server.Write(first)
					go func() { _, _ = io.Copy(server, conn) }()
					_, _ = io.Copy(conn, server)
				}()
			}
		}()
		return l.Addr().String()
	}
	plain := strings.TrimPrefix(cfg.Endpoint, "http://")
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	for hint, endpoint := range map[string]string{
		"use http:// in AWS_ENDPOINT_URL":  "https://" + serve(plain, false),
		"use https:// in AWS_ENDPOINT_URL": "http://" + serve(srv.Listener.Addr().String(), true),
	} {
		connections.Store(0)
		cfg.Endpoint = endpoint
		_, err := objectstore.Open(t.Context(), cfg)
		if !errors.Is(err, objectstore.ErrUnreachable) || !strings.Contains(failure.HintOf(err), hint) {
			t.Errorf("%s: error %v, hint %q, want ErrUnreachable and the hint %q", endpoint, err, failure.HintOf(err), hint)
		}
		if n := connections.Load(); n > 3 {
			t.Errorf("%s: %d connections, want at most 3", endpoint, n)
		}
	}
}

// TestWrongClock: if the client's clock is wrong, the hint says so. Time in a synctest bubble starts in the year 2000.
func TestWrongClock(t *testing.T) {
	minio, embedded := config(t, objectstoretest.MinIOEnv(t)), config(t, objectstoretest.EmbeddedEnv(t))
	embedded.Gateway = ""
	for _, cfg := range []objectstore.Config{minio, embedded} {
		target, err := url.Parse(cfg.Endpoint)
		if err != nil {
			t.Fatal(err)
		}
		proxy := httputil.NewSingleHostReverseProxy(target)
		proxy.ModifyResponse = func(r *http.Response) error {
			r.Header.Set("Connection", "close") // no goroutine may outlive the bubble
			return nil
		}
		srv := httptest.NewServer(proxy)
		defer srv.Close()
		cfg.Endpoint = srv.URL
		synctest.Test(t, func(t *testing.T) {
			_, err := objectstore.Open(t.Context(), cfg)
			if !errors.Is(err, objectstore.ErrDenied) || !strings.Contains(failure.HintOf(err), "set the clock") {
				t.Errorf("error %v, hint %q, want ErrDenied and a hint about the clock", err, failure.HintOf(err))
			}
		})
	}
}
