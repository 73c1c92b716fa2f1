package objectstore

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// outage decides how long operations wait for a store that is unavailable, and notifies the user once per outage.
type outage struct {
	patience time.Duration
	notify   func(text string)
	noticed  atomic.Bool // the user has been notified
}

func (o *outage) began(err error) {
	if !o.noticed.Swap(true) && o.notify != nil {
		o.notify(fmt.Sprintf("the store does not answer; waiting up to %v: %v", o.patience, err))
	}
}

func (o *outage) ended() {
	if o.noticed.Swap(false) && o.notify != nil {
		o.notify("the store answers again")
	}
}

// retry calls try until it succeeds, fails permanently, or uses up the attempts that its last failure allows. If the
// store is unavailable, retry waits for it as long as the patience lasts. The pauses grow up to a few seconds and are
// random, so that many clients do not retry all at once. try receives the number of the attempt, from 0. The result is
// nil or an *Error.
func (s *s3Store) retry(ctx context.Context, op, key string, write bool, try func(attempt int) error) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = 100 * time.Millisecond
	wait.Multiplier = 2
	wait.MaxInterval = 4 * time.Second

	attempt := 0
	var since time.Time // when the store was first found to be unavailable
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := try(attempt)
		attempt++
		if err == nil {
			s.outage.ended()
			return struct{}{}, nil
		}
		var done *Error
		if errors.As(err, &done) {
			return struct{}{}, backoff.Permanent(err)
		}
		v := judge(ctx, err, write)
		if s.away != "" && errors.Is(v.kind, ErrUnreachable) {
			v.hint = s.away
		}
		wrapped := &Error{Op: op, Key: key, Store: s.name, Kind: v.kind, Hint: v.hint, Err: err}
		var request *url.Error
		if errors.As(err, &request) {
			wrapped.Err = request.Err // without the URL, which is long and only names the store again
		}
		if s.keysFrom != "" && errors.Is(v.kind, ErrDenied) {
			wrapped.Hint += "; the keys are those of " + s.keysFrom
		}
		if v.kind == ErrNotFound || v.kind == ErrExists {
			wrapped.Err = nil // the class says everything, so the cause is dropped
		}
		if cause := context.Cause(ctx); cause != nil {
			wrapped.Kind, wrapped.Err = nil, cause
			return struct{}{}, backoff.Permanent(wrapped)
		}
		switch {
		case !v.away:
			s.outage.ended()
		case since.IsZero():
			since = time.Now()
		}
		if attempt < v.attempts {
			return struct{}{}, wrapped
		}
		if !v.away || time.Since(since) >= s.outage.patience {
			if v.away && s.outage.patience > 0 {
				wrapped.Hint = fmt.Sprintf("waited %v (VAPO_STORE_PATIENCE); %s", s.outage.patience, v.hint)
			}
			return struct{}{}, backoff.Permanent(wrapped)
		}
		s.outage.began(wrapped)
		return struct{}{}, wrapped
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0))
	var typed *Error
	if err != nil && !errors.As(err, &typed) {
		return &Error{Op: op, Key: key, Store: s.name, Err: err}
	}
	return err
}
