package artifact

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"vapo/lib/objectstore"
)

// Ref is a name for a digest.
type Ref struct {
	Name    string
	Digest  Digest
	Updated time.Time // by the store's clock
}

const refSuffix = ".ref"

// refKey keeps "a" and "a/b" from becoming a file and a directory of one name.
func refKey(name string) (string, error) {
	bad := fmt.Errorf("%q is not a name: use letters, digits and . _ - with / between parts", name)
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

// CheckRef returns an error unless name can be the name of a ref.
func CheckRef(name string) error {
	_, err := refKey(name)
	return err
}

// SetRef points a name at a blob, which must be there. The last writer wins.
func (s *Store) SetRef(ctx context.Context, name string, d Digest) error {
	key, err := refKey(name)
	if err != nil {
		return err
	}
	_, ok, err := s.Has(ctx, d)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("ref %s: blob %s: %w", name, d, ErrNotFound)
	}
	text := string(d) + "\n"
	_, err = s.objects.Put(ctx, key, strings.NewReader(text), int64(len(text)), objectstore.PutOptions{})
	return err
}

// Ref returns the digest under a name, or ErrNotFound.
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

// DeleteRef removes a name. It is no error if there is none.
func (s *Store) DeleteRef(ctx context.Context, name string) error {
	key, err := refKey(name)
	if err != nil {
		return err
	}
	return s.objects.Delete(ctx, key)
}

// Refs yields all refs in the order of their names. A damaged one is yielded without a digest and with its error; the
// rest follow.
func (s *Store) Refs(ctx context.Context) iter.Seq2[Ref, error] {
	return func(yield func(Ref, error) bool) {
		for info, err := range s.objects.List(ctx, "refs/") {
			if err != nil {
				yield(Ref{}, err)
				return
			}
			name, ok := strings.CutSuffix(strings.TrimPrefix(info.Key, "refs/"), refSuffix)
			if !ok || CheckRef(name) != nil {
				continue
			}
			d, err := s.Ref(ctx, name)
			if errors.Is(err, ErrNotFound) {
				continue // deleted since it was listed
			}
			ref := Ref{Name: name, Digest: d, Updated: info.ModTime}
			if !yield(ref, err) || err != nil && !errors.Is(err, ErrCorrupt) {
				return
			}
		}
	}
}

func runKey(id string) (string, error) {
	if _, err := refKey(id); err != nil || strings.Contains(id, "/") {
		return "", fmt.Errorf("%q is not the id of a run", id)
	}
	return "runs/" + id + ".json", nil
}

// Run is one entry of the history.
type Run struct {
	ID      string
	Updated time.Time // by the store's clock
}

// SaveRun stores the document of a run, which must be JSON, in place of an
// older one of the same id.
func (s *Store) SaveRun(ctx context.Context, id string, document []byte) error {
	key, err := runKey(id)
	if err != nil {
		return err
	}
	if !json.Valid(document) {
		return fmt.Errorf("run %s: its document is not JSON", id)
	}
	_, err = s.objects.Put(ctx, key, bytes.NewReader(document), int64(len(document)), objectstore.PutOptions{})
	return err
}

// Run returns the document of a run, or ErrNotFound.
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

// Runs yields the history in the order of ids.
func (s *Store) Runs(ctx context.Context) iter.Seq2[Run, error] {
	return func(yield func(Run, error) bool) {
		for info, err := range s.objects.List(ctx, "runs/") {
			id, ok := strings.CutSuffix(strings.TrimPrefix(info.Key, "runs/"), ".json")
			if err == nil && !ok {
				continue
			}
			if !yield(Run{ID: id, Updated: info.ModTime}, err) || err != nil {
				return
			}
		}
	}
}
