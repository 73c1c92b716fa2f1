package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"vapo/lib/cachekey"
	"vapo/lib/objectstore"
)

// Live is the state of an unfinished action, from which a later attempt can resume. It is not a result and may be
// deleted at any time.
type Live struct {
	s      *Store
	key    string
	prefix string
	lease  string // ID of the lease without which Save fails; "" for none
	err    error  // set if the key was invalid
}

// Live returns the live state of the action with this key.
func (s *Store) Live(key string) *Live {
	l := &Live{s: s, key: key, prefix: "live/" + key + "/"}
	if !cachekey.ValidKey(key) {
		l.err = fmt.Errorf("%q is not the key of an action", key)
	}
	return l
}

// HeldBy makes Save fail with ErrLeaseLost once the action's lease has been lost. lease is the result of [Lease.ID].
func (l *Live) HeldBy(lease string) { l.lease = lease }

func (l *Live) stateKey(name string) (string, error) {
	if l.err != nil {
		return "", l.err
	}
	if _, err := refKey(name); err != nil || strings.Contains(name, "/") {
		return "", fmt.Errorf("%q is not a valid name for a state", name)
	}
	return l.prefix + "state/" + name, nil
}

// Save stores a state atomically. It replaces an older state of the same name.
func (l *Live) Save(ctx context.Context, name string, r io.Reader) error {
	key, err := l.stateKey(name)
	if err != nil {
		return err
	}
	f, d, size, err := spool(r)
	if err != nil {
		return fmt.Errorf("save %s: %w", name, err)
	}
	defer f.Close()
	if l.lease != "" {
		h, _, err := l.s.holder(ctx, leaseKey(l.key))
		switch {
		case errors.Is(err, ErrNotFound): // another runner took the lease over and has released it
			return fmt.Errorf("save %s: %w", name, ErrLeaseLost)
		case err != nil:
			return err
		case h.ID != l.lease:
			return fmt.Errorf("save %s: %w: %v", name, ErrLeaseLost, h)
		}
	}
	_, err = l.s.objects.Put(ctx, key, f, size, objectstore.PutOptions{SHA256: d.Hex()})
	return err
}

// Load opens a state. It fails with ErrNotFound if no state has that name. Like [Store.Open], the reader returns io.EOF
// only if the content is what was saved.
func (l *Live) Load(ctx context.Context, name string) (io.ReadCloser, error) {
	key, err := l.stateKey(name)
	if err != nil {
		return nil, err
	}
	v, err := l.s.openVerified(ctx, key, "")
	if err != nil {
		return nil, err
	}
	return v, nil
}

// Names lists the names of the saved states, sorted.
func (l *Live) Names(ctx context.Context) ([]string, error) {
	if l.err != nil {
		return nil, l.err
	}
	var names []string
	for info, err := range l.s.objects.List(ctx, l.prefix+"state/") {
		if err != nil {
			return nil, err
		}
		names = append(names, strings.TrimPrefix(info.Key, l.prefix+"state/"))
	}
	return names, nil
}

// DeleteAfter removes what a killed run has left behind for an action that is done: all states and the run's lease. It
// does nothing if another run holds the lease.
func (l *Live) DeleteAfter(ctx context.Context, run string) error {
	h, _, err := l.s.holder(ctx, leaseKey(l.key))
	if err == nil && h.Run != run {
		return nil
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err := l.Delete(ctx); err != nil {
		return err
	}
	return l.s.objects.Delete(ctx, leaseKey(l.key))
}

// Delete removes all states. Call it when the action is done.
func (l *Live) Delete(ctx context.Context) error {
	names, err := l.Names(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := l.s.objects.Delete(ctx, l.prefix+"state/"+name); err != nil {
			return err
		}
	}
	return nil
}
