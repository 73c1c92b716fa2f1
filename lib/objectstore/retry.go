package objectstore

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// retry calls try until it succeeds, fails permanently, or uses up the attempts that its last failure allows. try
// receives the number of the attempt, from 0. The result is nil or an *Error.
func (s *s3Store) retry(ctx context.Context, op, key string, write bool, try func(attempt int) error) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = 100 * time.Millisecond
	wait.Multiplier = 2
	wait.MaxInterval = 4 * time.Second

	attempt := 0
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := try(attempt)
		attempt++
		if err == nil {
			return struct{}{}, nil
		}
		var done *Error
		if errors.As(err, &done) {
			return struct{}{}, backoff.Permanent(err)
		}
		v := judge(err, write)
		wrapped := &Error{Op: op, Key: key, Store: s.name, Kind: v.kind, Hint: v.hint, Err: err}
		if v.kind == ErrNotFound || v.kind == ErrExists {
			wrapped.Err = nil // the class says everything, so the cause is dropped
		}
		if cause := context.Cause(ctx); cause != nil {
			wrapped.Kind, wrapped.Err = nil, cause
		}
		if attempt >= v.attempts || ctx.Err() != nil {
			return struct{}{}, backoff.Permanent(wrapped)
		}
		return struct{}{}, wrapped
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0))
	var typed *Error
	if err != nil && !errors.As(err, &typed) {
		return &Error{Op: op, Key: key, Store: s.name, Err: err}
	}
	return err
}
