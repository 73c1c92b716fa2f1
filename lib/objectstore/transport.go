package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"

	"vapo/lib/objectstore/gateway"
)

// transport ends requests that make no progress. Go's own timeouts cover dialling, the TLS handshake and the wait for
// the response's header, but not the bodies:
//
//   - A client writes to a connection only while it sends a request, so every write has a deadline ([sender]).
//   - Reads from a connection cannot have one, because a connection may be silent for good reasons: it is idle, or its
//     server is joining a large upload. Therefore only reads of a response's body have a deadline ([body]).
type transport struct {
	http  *http.Transport
	stall time.Duration
}

func newTransport(cfg *Config, endpoint *url.URL) (*transport, error) {
	dialTimeout, stall := 4*time.Second, 30*time.Second
	if cfg.DialTimeout > 0 {
		dialTimeout = cfg.DialTimeout
	}
	if cfg.StallTimeout > 0 {
		stall = cfg.StallTimeout
	}
	base, err := minio.DefaultTransport(endpoint.Scheme == "https")
	if err != nil {
		return nil, err
	}
	dial := (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext
	if dir, ok := strings.CutPrefix(cfg.Gateway, endpoint.Host+"/"); ok {
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return gateway.Dial(ctx, "/"+dir) }
	}
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return sender{conn, stall}, nil
	}
	// By default 3 minutes: a server may need this long to join the parts of a large upload.
	base.ResponseHeaderTimeout = 6 * stall
	return &transport{base, stall}, nil
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	resp, err := t.http.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = &body{ReadCloser: resp.Body, cancel: cancel, stall: t.stall}
	return resp, nil
}

// body fails if a Read waits longer than stall.
type body struct {
	io.ReadCloser
	cancel  context.CancelFunc // breaks the connection
	stall   time.Duration
	stalled atomic.Bool
}

func (b *body) Read(p []byte) (int, error) {
	timer := time.AfterFunc(b.stall, func() {
		b.stalled.Store(true)
		b.cancel()
	})
	n, err := b.ReadCloser.Read(p)
	timer.Stop()
	if err != nil && b.stalled.Load() && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("the server sent nothing for %v: %w", b.stall, os.ErrDeadlineExceeded)
	}
	return n, err
}

func (b *body) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// sender is a connection whose Write fails if the peer takes no byte within stall.
type sender struct {
	net.Conn
	stall time.Duration
}

func (s sender) Write(p []byte) (n int, err error) {
	for {
		if err := s.SetWriteDeadline(time.Now().Add(s.stall)); err != nil {
			return n, err
		}
		m, err := s.Conn.Write(p[n:])
		n += m
		if m == 0 || n == len(p) || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
}
