package objectstore

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"
)

// otherScheme returns an error if the server speaks HTTPS although the endpoint says http, or the reverse. Some servers
// send a clear answer to a client with the wrong scheme. Others only close the connection, as a failing server does, so
// otherScheme tries the other scheme. err is the error of the first request.
func (s *s3Store) otherScheme(ctx context.Context, err error) error {
	v := judge(ctx, err, false)
	var op *net.OpError
	reached := !errors.As(err, &op) || op.Op != "dial"
	if !reached || v.kind != nil && (v.kind != ErrUnreachable || v.attempts == once) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	hint := "the server speaks TLS; use https:// in AWS_ENDPOINT_URL"
	if s.endpoint.Scheme == "http" && !speaksTLS(ctx, s.endpoint) {
		return nil
	}
	if s.endpoint.Scheme == "https" {
		hint = hintNoTLS
		if !speaksHTTP(ctx, s.endpoint) {
			return nil
		}
	}
	return &Error{Op: "open", Store: s.name, Kind: ErrUnreachable, Hint: hint, Err: err}
}

func speaksTLS(ctx context.Context, endpoint *url.URL) bool {
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // no data is sent or trusted
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(endpoint.Hostname(), cmp.Or(endpoint.Port(), "80")))
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func speaksHTTP(ctx context.Context, endpoint *url.URL) bool {
	host := net.JoinHostPort(endpoint.Hostname(), cmp.Or(endpoint.Port(), "443"))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/", nil)
	if err != nil {
		return false
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode != http.StatusBadRequest // the answer of a server that expects TLS
}
