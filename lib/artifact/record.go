package artifact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
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

// Record contains the results of an action and has the action's key. Records are JSON and stay in stores for years, so
// field names must not change. Older programs ignore fields that were added later.
type Record struct {
	Key      string            `json:"key"`
	Action   json.RawMessage   `json:"action"`   // the preimage of the key
	Manifest json.RawMessage   `json:"manifest"` // from the stage
	Outputs  map[string]Digest `json:"outputs"`
	Created  time.Time         `json:"created"` // by the publisher's clock; for information only
}

func recordKey(key string) (string, error) {
	if !cachekey.ValidKey(key) {
		return "", fmt.Errorf("%q is not the key of an action", key)
	}
	return "actions/" + key + ".json", nil
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
		return fmt.Errorf("it has %d outputs, its manifest %d", len(r.Outputs), len(m.Outputs))
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

// decodeRecord reads a record and checks that it belongs to key. A record may be damaged or stored under the wrong key.
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
// the blobs exist: see [Store.Complete].
func (s *Store) Record(ctx context.Context, key string) (*Record, error) {
	name, err := recordKey(key)
	if err != nil {
		return nil, err
	}
	data, _, err := s.readDocument(ctx, name)
	if err != nil {
		return nil, err
	}
	r, err := decodeRecord(key, data)
	if err != nil {
		return nil, s.corrupt(name, "delete that object and run again", "%v", err)
	}
	return r, nil
}

// Publish creates the record of an action unless a record exists. It returns the record that is now in the store: rec
// and true, or an earlier publisher's record and false. If the outputs of the two records differ, the action is not
// deterministic. Publish fails if a blob of rec is missing.
//
// Publish replaces an existing record only if that record is damaged or names a blob that no longer exists.
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
	missing, err := s.Complete(ctx, &rec)
	if err != nil {
		return nil, false, fmt.Errorf("publish %s: %w", rec.Key, err)
	}
	if len(missing) > 0 {
		return nil, false, fmt.Errorf("publish %s: blob %s: %w", rec.Key, missing[0], ErrNotFound)
	}
	opt := objectstore.PutOptions{IfAbsent: true}
	for attempt := 0; ; attempt++ {
		if attempt == publishAttempts {
			return nil, false, failure.New(failure.Store, "check the store: pipeline store check",
				"publish %s: the store refused the record %d times and returned none that stands", rec.Key, attempt)
		}
		if err := pause(ctx, attempt); err != nil {
			return nil, false, err
		}
		err := s.writeDocument(ctx, name, rec, opt)
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
			missing, err := s.Complete(ctx, standing)
			if err != nil || len(missing) == 0 {
				return standing, false, err
			}
		}
		opt = objectstore.PutOptions{IfMatch: info.ETag}
	}
}

// publishAttempts bounds the attempts to write a record that other publishers replace or delete at the same time.
const publishAttempts = 8

// pause waits before every attempt except the first. The wait starts at about 20 ms and doubles each time: 3 seconds in
// all.
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

// Complete returns the blobs that a record names but the store lacks, sorted by output name. A record with a missing
// blob counts as a cache miss.
func (s *Store) Complete(ctx context.Context, rec *Record) (missing []Digest, err error) {
	names := slices.Sorted(maps.Keys(rec.Outputs))
	have := make([]bool, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i, name := range names {
		group.Go(func() (err error) {
			_, have[i], err = s.Has(ctx, rec.Outputs[name])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, name := range names {
		if !have[i] {
			missing = append(missing, rec.Outputs[name])
		}
	}
	return missing, nil
}

// Records yields every record, sorted by key. For a damaged record it yields the error and continues.
func (s *Store) Records(ctx context.Context) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for info, err := range s.objects.List(ctx, "actions/") {
			if err != nil {
				yield(nil, err)
				return
			}
			key, ok := strings.CutSuffix(strings.TrimPrefix(info.Key, "actions/"), ".json")
			if !ok || !cachekey.ValidKey(key) {
				continue
			}
			rec, err := s.Record(ctx, key)
			if errors.Is(err, ErrNotFound) {
				continue // the record was deleted after it was listed
			}
			if !yield(rec, err) || err != nil && !errors.Is(err, ErrCorrupt) {
				return
			}
		}
	}
}
