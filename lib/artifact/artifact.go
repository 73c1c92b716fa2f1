// Package artifact stores everything that a pipeline makes: blobs named by their content, records of the actions that
// made them, names for people, the state of unfinished actions, and the history of runs. All of it is in one object
// store:
//
//	blobs/sha256/ab/<64 hex>    content, immutable, verified on every read
//	actions/<key>.json          what an action made, immutable, first writer wins
//	refs/<name>.ref             a digest under a name
//	live/<key>/state/<name>     resumable state of an action not yet done
//	live/<key>/lease            the runner that works on that action
//	parts/ab/<key>              intermediate values that other actions can use
//	series/<key>/<length>       finds actions that differ only in their length
//	runs/<id>.json              history
//	damaged/<key>               copies of damaged objects, for people
//
// Correctness depends only on blobs and records. A blob cannot be wrong, because its bytes are checked against its name
// on every read. A record cannot be incomplete or ambiguous, because it is created once, atomically, and only after its
// blobs. Live state, leases, parts and series only save work. If two runners compute one action at once, the store
// keeps the record that is published first.
//
// Only [Store.Collect] deletes blobs and records; its comment says why this is safe while other programs run. Before a
// program uses a record or blob that is already in the store, it calls [Store.Renew] or [Store.Retain].
//
// No key is a directory prefix of another, so stores that keep objects as files can hold all of them.
package artifact

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"vapo/lib/failure"
	"vapo/lib/objectstore"
)

// ErrNotFound is objectstore.ErrNotFound: the blob, record, ref or state does not exist.
var ErrNotFound = objectstore.ErrNotFound

// ErrCorrupt means that an object in the store is damaged. Errors that match it are *CorruptError.
var ErrCorrupt = failure.New(failure.Integrity, "", "corrupt object in the store")

// CorruptError says which object is damaged.
type CorruptError struct {
	Object string // its key in the store
	Store  string
	Reason string
	Hint   string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%v: %s: %s (%s)", ErrCorrupt, e.Object, e.Reason, e.Store)
}

// Unwrap makes errors.Is(err, ErrCorrupt) hold.
func (e *CorruptError) Unwrap() error { return ErrCorrupt }

// FailureClass implements failure.Carrier.
func (e *CorruptError) FailureClass() failure.Class { return failure.Integrity }

// FailureHint implements failure.Carrier.
func (e *CorruptError) FailureHint() string { return e.Hint }

// Digest identifies content: "sha256:" and 64 lower-case hexadecimal digits.
type Digest string

const digestPrefix = "sha256:"

// ParseDigest checks the form of a digest.
func ParseDigest(s string) (Digest, error) {
	hex, ok := strings.CutPrefix(s, digestPrefix)
	if !ok || len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%q is not a digest of the form sha256:<64 lower-case hexadecimal digits>", s)
	}
	return Digest(s), nil
}

// Hex returns the digest without its prefix.
func (d Digest) Hex() string { return strings.TrimPrefix(string(d), digestPrefix) }

// Store keeps artifacts in an object store. It is safe for concurrent use.
type Store struct{ objects objectstore.Store }

// New returns a Store that keeps its artifacts in objects.
func New(objects objectstore.Store) *Store { return &Store{objects: objects} }

// String returns the location of the store without secrets.
func (s *Store) String() string { return s.objects.String() }

// Objects returns the underlying store.
func (s *Store) Objects() objectstore.Store { return s.objects }

func (s *Store) corrupt(key, hint, format string, args ...any) error {
	return &CorruptError{Object: key, Store: s.objects.String(), Reason: fmt.Sprintf(format, args...), Hint: hint}
}

// maxDocument limits the size of the documents that this package reads into memory, in bytes.
const maxDocument = 64 << 20

// readDocument reads a whole small object and returns its content and its Info.
func (s *Store) readDocument(ctx context.Context, key string) ([]byte, objectstore.Info, error) {
	body, info, err := s.objects.Get(ctx, key)
	if err != nil {
		return nil, info, err
	}
	defer body.Close()
	if info.Size > maxDocument {
		return nil, info, s.corrupt(key, "", "it is %d bytes long, and at most %d are allowed", info.Size, maxDocument)
	}
	data, err := io.ReadAll(body)
	return data, info, err
}

func (s *Store) writeDocument(ctx context.Context, key string, v any, opt objectstore.PutOptions) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	return s.put(ctx, key, append(data, '\n'), opt)
}

func (s *Store) put(ctx context.Context, key string, data []byte, opt objectstore.PutOptions) error {
	_, err := s.objects.Put(ctx, key, bytes.NewReader(data), int64(len(data)), opt)
	return err
}
