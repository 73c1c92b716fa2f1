package artifact

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"vapo/lib/failure"
	"vapo/lib/objectstore"
)

// Ref is a named digest.
type Ref struct {
	Name    string
	Digest  Digest
	Updated time.Time // by the store's clock
}

const refSuffix = ".ref"

// refKey returns the key of a ref. Its suffix keeps the refs "a" and "a/b" from being a file and a directory of the
// same name.
func refKey(name string) (string, error) {
	bad := failure.New(failure.Usage, "for example best or team/best",
		"%q is not a valid name: use letters, digits and . _ - with / between parts", name)
	if name == "" || len(name) > 200 {
		return "", bad
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || len(part) > 100 || part[0] == '.' || part[0] == '-' || strings.HasSuffix(part, refSuffix) {
			return "", bad
		}
		for _, c := range []byte(part) {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
				return "", bad
			}
		}
	}
	return "refs/" + name + refSuffix, nil
}

// refOfKey is the inverse of refKey for the keys under refs/. ok is false for a key that refKey does not make.
func refOfKey(key string) (name string, ok bool) {
	name, ok = strings.CutSuffix(strings.TrimPrefix(key, "refs/"), refSuffix)
	return name, ok && CheckRef(name) == nil
}

// CheckRef returns an error if name is not a valid ref name.
func CheckRef(name string) error {
	_, err := refKey(name)
	return err
}

// SetRef makes a name refer to a blob, which must exist. If several writers set the same name, the last one wins.
func (s *Store) SetRef(ctx context.Context, name string, d Digest) error {
	key, err := refKey(name)
	if err != nil {
		return err
	}
	if err := s.Retain(ctx, d); err != nil {
		return fmt.Errorf("ref %s: blob %s: %w", name, d, err)
	}
	return s.put(ctx, key, []byte(d+"\n"), objectstore.PutOptions{})
}

// Ref returns the digest that a name refers to. It fails with ErrNotFound if the name is not set.
func (s *Store) Ref(ctx context.Context, name string) (Digest, error) {
	key, err := refKey(name)
	if err != nil {
		return "", err
	}
	data, _, err := s.readDocument(ctx, key)
	if err != nil {
		return "", err
	}
	d, err := ParseDigest(string(bytes.TrimSuffix(data, []byte("\n"))))
	if err != nil {
		return "", s.corrupt(key, "set the ref again", "%v", err)
	}
	return d, nil
}

// DeleteRef removes a name. A missing name is not an error.
func (s *Store) DeleteRef(ctx context.Context, name string) error {
	key, err := refKey(name)
	if err != nil {
		return err
	}
	return s.objects.Delete(ctx, key)
}

// Refs yields all refs, sorted by name. For a damaged ref it yields the name and an error, and continues.
func (s *Store) Refs(ctx context.Context) iter.Seq2[Ref, error] {
	return func(yield func(Ref, error) bool) {
		var refs []Ref
		for info, err := range s.objects.List(ctx, "refs/") {
			if err != nil {
				yield(Ref{}, err)
				return
			}
			if name, ok := refOfKey(info.Key); ok {
				refs = append(refs, Ref{Name: name, Updated: info.ModTime})
			}
		}
		errs := make([]error, len(refs))
		group, reading := errgroup.WithContext(ctx)
		group.SetLimit(readers)
		for i := range refs {
			group.Go(func() error {
				refs[i].Digest, errs[i] = s.Ref(reading, refs[i].Name)
				if errors.Is(errs[i], ErrNotFound) || errors.Is(errs[i], ErrCorrupt) {
					return nil
				}
				return errs[i]
			})
		}
		if err := group.Wait(); err != nil {
			yield(Ref{}, err)
			return
		}
		for i, err := range errs {
			if errors.Is(err, ErrNotFound) {
				continue // the ref was deleted after it was listed
			}
			if !yield(refs[i], err) {
				return
			}
		}
	}
}

func runKey(id string) (string, error) {
	if _, err := refKey(id); err != nil || strings.Contains(id, "/") {
		return "", failure.New(failure.Usage, "pipeline ls runs lists the runs with their IDs",
			"%q is not the ID of a run", id)
	}
	return "runs/" + id + ".json", nil
}

// runOfKey is the inverse of runKey for the keys under runs/. ok is false for a key that runKey does not make.
func runOfKey(key string) (id string, ok bool) {
	id, ok = strings.CutSuffix(strings.TrimPrefix(key, "runs/"), ".json")
	_, err := runKey(id)
	return id, ok && err == nil
}

// Run is one entry in the history of runs.
type Run struct {
	ID      string
	Updated time.Time // by the store's clock
}

// SaveRun stores the document of a run, which must be JSON. It replaces an older document of the same run.
func (s *Store) SaveRun(ctx context.Context, id string, document []byte) error {
	key, err := runKey(id)
	if err != nil {
		return err
	}
	if !json.Valid(document) {
		return fmt.Errorf("run %s: its document is not JSON", id)
	}
	return s.put(ctx, key, document, objectstore.PutOptions{})
}

// UpdateRun replaces the document of a run by what change makes of it. Without such a run, change gets nil. If another
// program updates the run at the same time, UpdateRun starts again, so change may be called several times.
func (s *Store) UpdateRun(ctx context.Context, id string, change func(document []byte) ([]byte, error)) error {
	key, err := runKey(id)
	if err != nil {
		return err
	}
	for {
		old, info, err := s.readDocument(ctx, key)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		document, err := change(old)
		if err != nil {
			return err
		}
		if !json.Valid(document) {
			return fmt.Errorf("run %s: its document is not JSON", id)
		}
		err = s.put(ctx, key, document, objectstore.PutOptions{IfAbsent: old == nil, IfMatch: info.ETag})
		if !errors.Is(err, objectstore.ErrExists) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(rand.N(200 * time.Millisecond)): // so that two programs do not meet again and again
		}
	}
}

// Run returns the document of a run. It fails with ErrNotFound if no run has that ID.
func (s *Store) Run(ctx context.Context, id string) ([]byte, error) {
	key, err := runKey(id)
	if err != nil {
		return nil, err
	}
	data, _, err := s.readDocument(ctx, key)
	if err != nil {
		return nil, err
	}
	if !json.Valid(data) {
		return nil, s.corrupt(key, "delete that object; only history is lost", "it is not JSON")
	}
	return data, nil
}

// DeleteRun removes a run from the history. A missing run is not an error.
func (s *Store) DeleteRun(ctx context.Context, id string) error {
	key, err := runKey(id)
	if err != nil {
		return err
	}
	return s.objects.Delete(ctx, key)
}

// Runs yields the runs whose IDs begin with prefix, sorted by ID. It leaves out objects that are no runs.
func (s *Store) Runs(ctx context.Context, prefix string) iter.Seq2[Run, error] {
	return func(yield func(Run, error) bool) {
		for info, err := range s.objects.List(ctx, "runs/"+prefix) {
			id, ok := runOfKey(info.Key)
			if err == nil && !ok {
				continue
			}
			if !yield(Run{ID: id, Updated: info.ModTime}, err) || err != nil {
				return
			}
		}
	}
}
