// Package stall ends HTTP requests whose server falls silent. Go's own timeouts cover dialling, the TLS handshake and
// the wait for a response's header, but not its body.
package stall

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// Transport makes the body of every response fail if the server sends nothing for Limit. The error matches
// [os.ErrDeadlineExceeded].
type Transport struct {
	http.RoundTripper
	Limit time.Duration
}

func (t Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	res, err := t.RoundTripper.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	res.Body = &body{ReadCloser: res.Body, cancel: cancel, limit: t.Limit}
	return res, nil
}

// body is a response body whose Read fails if it waits longer than limit.
type body struct {
	io.ReadCloser
	cancel  context.CancelFunc // closes the connection
	limit   time.Duration
	stalled atomic.Bool
}

func (b *body) Read(p []byte) (int, error) {
	timer := time.AfterFunc(b.limit, func() {
		b.stalled.Store(true)
		b.cancel()
	})
	n, err := b.ReadCloser.Read(p)
	timer.Stop()
	if err != nil && b.stalled.Load() && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("the server sent nothing for %v: %w", b.limit, os.ErrDeadlineExceeded)
	}
	return n, err
}

func (b *body) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
