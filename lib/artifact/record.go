package artifact

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"vapo/lib/cachekey"
	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/lib/objectstore"
)

// Record contains the results of an action, and is stored under the action's key. Records are JSON and stay in stores
// for years, so field names must not change. Older programs ignore fields that were added later.
type Record struct {
	Key      string            `json:"key"`
	Action   json.RawMessage   `json:"action"`   // the preimage of the key
	Manifest json.RawMessage   `json:"manifest"` // from the stage
	Outputs  map[string]Digest `json:"outputs"`
	Created  time.Time         `json:"created"` // by the publisher's clock, which may be wrong

	// Renewed is when a runner last renewed the record, by that runner's clock; see Renew.
	Renewed time.Time `json:"renewed,omitzero"`

	info objectstore.Info // of the stored object; zero if the record was not read
}

func recordKey(key string) (string, error) {
	if !cachekey.ValidKey(key) {
		return "", fmt.Errorf("%q is not the key of an action", key)
	}
	return "actions/" + key + ".json", nil
}

// actionOfKey is the inverse of recordKey for the keys under actions/. ok is false for a key that recordKey does not
// make.
func actionOfKey(key string) (action string, ok bool) {
	action, ok = strings.CutSuffix(strings.TrimPrefix(key, "actions/"), ".json")
	return action, ok && cachekey.ValidKey(action)
}

func (r *Record) validate() error {
	a, err := cachekey.Parse(r.Action)
	if err != nil {
		return err
	}
	key, err := a.Key()
	if err != nil {
		return err
	}
	if key != r.Key {
		return fmt.Errorf("its action has key %s", key)
	}
	m, err := contract.DecodeManifest(r.Manifest)
	if err != nil {
		return fmt.Errorf("its manifest: %w", err)
	}
	if len(m.Outputs) != len(r.Outputs) {
		return fmt.Errorf("it has %d outputs, but its manifest has %d", len(r.Outputs), len(m.Outputs))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Outputs)) {
		d := r.Outputs[name]
		if _, err := ParseDigest(string(d)); err != nil {
			return fmt.Errorf("output %s: %w", name, err)
		}
		if of := m.Outputs[name].Digest; of != string(d) {
			return fmt.Errorf("output %s is %s, but %q in its manifest", name, d, of)
		}
	}
	return nil
}

// decodeRecord decodes a record. It returns an error if the record is damaged or is the record of another key.
func decodeRecord(key string, data []byte) (*Record, error) {
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	if r.Key != key {
		return nil, fmt.Errorf("it is the record of %q", r.Key)
	}
	return &r, r.validate()
}

// Record returns the record of an action. It fails with ErrNotFound if the action has no record. It does not check that
// the outputs exist: see [Store.Missing].
func (s *Store) Record(ctx context.Context, key string) (*Record, error) {
	name, err := recordKey(key)
	if err != nil {
		return nil, err
	}
	data, info, err := s.readDocument(ctx, name)
	if err != nil {
		return nil, err
	}
	if string(data) == tombstone {
		return nil, fmt.Errorf("%s: %w", name, ErrNotFound)
	}
	r, err := decodeRecord(key, data)
	if err != nil {
		return nil, s.corrupt(name, "delete that object and run again", "%v", err)
	}
	r.info = info
	return r, nil
}

// Publish creates the record of an action unless a record exists. It returns the record that is now in the store: rec
// and true, or an earlier publisher's record and false. If the outputs of the two records differ, the action is not
// deterministic. Publish fails if the store lacks an output of rec.
//
// Publish replaces an existing record only if that record is damaged, lacks an output that rec has, or has an output
// that the store lacks or has with another size.
func (s *Store) Publish(ctx context.Context, rec Record) (standing *Record, won bool, err error) {
	name, err := recordKey(rec.Key)
	if err != nil {
		return nil, false, err
	}
	if rec.Created.IsZero() {
		rec.Created = time.Now()
	}
	rec.Created = rec.Created.UTC().Truncate(time.Millisecond)
	if rec.Outputs == nil {
		rec.Outputs = map[string]Digest{}
	}
	if err := rec.validate(); err != nil {
		return nil, false, fmt.Errorf("publish %s: %w", rec.Key, err)
	}
	m, err := contract.DecodeManifest(rec.Manifest)
	if err != nil {
		return nil, false, fmt.Errorf("publish %s: %w", rec.Key, err)
	}
	if missing, err := s.Missing(ctx, m); err != nil {
		return nil, false, fmt.Errorf("publish %s: %w", rec.Key, err)
	} else if missing != "" {
		return nil, false, failure.New(failure.Integrity, "", "publish %s: %s", rec.Key, missing)
	}
	opt := objectstore.PutOptions{IfAbsent: true}
	for attempt := 0; ; attempt++ {
		if attempt == publishAttempts {
			return nil, false, failure.New(failure.Store, "check the store: pipeline store check",
				"publish %s: the store refused the record %d times but returned no usable one", rec.Key, attempt)
		}
		if err := pause(ctx, attempt); err != nil {
			return nil, false, err
		}
		err := s.writeDocument(ctx, name, rec, opt)
		if err == nil && opt.IfMatch != "" {
			var ok bool
			if ok, err = s.remains(ctx, name); err == nil && !ok {
				opt = objectstore.PutOptions{IfAbsent: true}
				continue
			}
		}
		if err == nil {
			return &rec, true, nil
		}
		if !errors.Is(err, objectstore.ErrExists) {
			return nil, false, err
		}
		data, info, err := s.readDocument(ctx, name)
		switch {
		case errors.Is(err, ErrNotFound):
			opt = objectstore.PutOptions{IfAbsent: true} // the record was deleted since the last attempt
			continue
		case err != nil:
			return nil, false, err
		}
		standing, err := decodeRecord(rec.Key, data)
		if err == nil {
			if ok, err := s.stands(ctx, standing, &rec); ok || err != nil {
				return standing, false, err
			}
		}
		opt = objectstore.PutOptions{IfMatch: info.ETag}
	}
}

// publishAttempts limits the attempts to write a record that other publishers replace or delete at the same time.
const publishAttempts = 8

// pause waits before every attempt except the first. The wait starts at about 20 ms and doubles each time. All waits of
// one call of Publish take about 2.5 seconds.
func pause(ctx context.Context, attempt int) error {
	if attempt == 0 {
		return nil
	}
	d := 10 * time.Millisecond << attempt
	select {
	case <-time.After(d/2 + rand.N(d)):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Missing describes an output in a manifest that the store lacks or has with another size. It returns "" if all outputs
// are there. A record whose outputs are not all there counts as a cache miss.
func (s *Store) Missing(ctx context.Context, m *contract.Manifest) (string, error) {
	names := slices.Sorted(maps.Keys(m.Outputs))
	missing := make([]string, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i, name := range names {
		out := m.Outputs[name]
		group.Go(func() error {
			size, ok, err := s.Has(ctx, Digest(out.Digest))
			switch {
			case err != nil:
				return err
			case !ok:
				missing[i] = fmt.Sprintf("the store has lost output %s (%s)", name, out.Digest)
			case size != out.Size:
				missing[i] = fmt.Sprintf("output %s (%s) has %d bytes in the store, not %d", name, out.Digest, size, out.Size)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	return cmp.Or(missing...), nil
}

// stands reports whether a published record has all outputs that another record of the same action has, and the store
// has all outputs of the published record.
func (s *Store) stands(ctx context.Context, published, other *Record) (bool, error) {
	for name := range other.Outputs {
		if _, ok := published.Outputs[name]; !ok {
			return false, nil
		}
	}
	m, err := contract.DecodeManifest(published.Manifest)
	if err != nil {
		return false, err
	}
	missing, err := s.Missing(ctx, m)
	return missing == "", err
}
