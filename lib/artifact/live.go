package artifact

import (
	"context"
	"fmt"
	"io"
	"strings"

	"vapo/lib/cachekey"
	"vapo/lib/objectstore"
)

// Live is the state of an action that is not done: what a resumed attempt may
// start from. Nothing in it is a result; it may vanish at any time.
type Live struct {
	s      *Store
	key    string
	prefix string
	err    error // the key was invalid
}

// Live is the live state of the action with this key.
func (s *Store) Live(key string) *Live {
	l := &Live{s: s, key: key, prefix: "live/" + key + "/"}
	if !cachekey.ValidKey(key) {
		l.err = fmt.Errorf("%q is not the key of an action", key)
	}
	return l
}

func (l *Live) stateKey(name string) (string, error) {
	if l.err != nil {
		return "", l.err
	}
	if _, err := refKey(name); err != nil || strings.Contains(name, "/") {
		return "", fmt.Errorf("%q is not the name of a state", name)
	}
	return l.prefix + "state/" + name, nil
}

// Save stores a state in place of an older one of that name, whole or not at
// all.
func (l *Live) Save(ctx context.Context, name string, r io.Reader) error {
	key, err := l.stateKey(name)
	if err != nil {
		return err
	}
	f, d, size, err := l.s.spool(r)
	if err != nil {
		return fmt.Errorf("save %s: %w", name, err)
	}
	defer f.Close()
	_, err = l.s.objects.Put(ctx, key, f, size, objectstore.PutOptions{SHA256: d.Hex()})
	return err
}

// Load opens a state, or fails with ErrNotFound. Like [Store.Open] it reports
// the end only of content that is what was saved.
func (l *Live) Load(ctx context.Context, name string) (io.ReadCloser, error) {
	key, err := l.stateKey(name)
	if err != nil {
		return nil, err
	}
	return l.s.openVerified(ctx, key, "")
}

// Names lists the saved states in order.
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

// Delete removes all states, once the action is done.
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
