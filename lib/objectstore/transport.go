package objectstore

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/minio/minio-go/v7"

	"vapo/lib/objectstore/gateway"
	"vapo/lib/stall"
)

// newTransport returns a transport that ends requests that make no progress:
//
//   - A client writes to a connection only while it sends a request, so every write has a deadline ([sender]).
//   - Reads from a connection cannot have a deadline, because a connection may be silent for good reasons: it is idle,
//     or its server is joining a large upload. Therefore only reads of a response's body have a deadline
//     ([stall.Transport]).
func newTransport(cfg *Config, endpoint *url.URL) (http.RoundTripper, error) {
	limit := 30 * time.Second
	if cfg.StallTimeout > 0 {
		limit = cfg.StallTimeout
	}
	base, err := minio.DefaultTransport(endpoint.Scheme == "https")
	if err != nil {
		return nil, err
	}
	if cfg.CABundle != "" && endpoint.Scheme == "https" {
		if base.TLSClientConfig.RootCAs, err = authorities(cfg.CABundle); err != nil {
			return nil, err
		}
	}
	dial := (&net.Dialer{Timeout: 4 * time.Second, KeepAlive: 15 * time.Second}).DialContext
	if dir, ok := cfg.embedded(endpoint); ok {
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return gateway.Dial(ctx, dir) }
	}
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return sender{conn, limit}, nil
	}
	// By default 3 minutes: a server may need this long to join the parts of a large upload.
	base.ResponseHeaderTimeout = 6 * limit
	return stall.Transport{RoundTripper: base, Limit: limit}, nil
}

// sender is a connection whose Write fails if the peer takes no byte within limit.
type sender struct {
	net.Conn
	limit time.Duration
}

func (s sender) Write(p []byte) (n int, err error) {
	for {
		if err := s.SetWriteDeadline(time.Now().Add(s.limit)); err != nil {
			return n, err
		}
		m, err := s.Conn.Write(p[n:])
		n += m
		if m == 0 || n == len(p) || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
}

// authorities reads the certificates that replace those of the system, as in the AWS CLI.
func authorities(path string) (*x509.CertPool, error) {
	const hint = "AWS_CA_BUNDLE (or ca_bundle in a profile) must name a PEM file with CA certificates"
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, configError(hint, "AWS_CA_BUNDLE: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, configError(hint, "AWS_CA_BUNDLE: %s has no certificate in PEM format", path)
	}
	return pool, nil
}
