// Package artifact keeps what a pipeline makes: blobs named by their content,
// records of which action made them, names for people, state that is still
// being worked on, and the history of runs. All of it lies in one object
// store:
//
//	blobs/sha256/ab/<64 hex>    content, immutable, verified on every read
//	actions/<key>.json          what an action made, immutable, first writer wins
//	refs/<name>.ref             a digest under a name
//	live/<key>/state/<name>     resumable state of an action not yet done
//	parts/ab/<key>              values computed on the way, which other actions can use
//	series/<key>/<length>       where actions that differ in length alone are found
//	runs/<id>.json              history
//
// Correctness rests on two of these alone. A blob cannot be wrong, because its
// name is checked against its bytes whenever it is read. A record cannot be
// torn or disputed, because it is created whole, once, and only after its
// blobs. Live state, parts and series save work; losing
// them loses nothing else.
//
// Note: nothing keeps two runners from working on one action at once. Both then compute it, and the record of the
// first stands; a lease could save the second its work, never its correctness.
//
// No key is a directory prefix of another, so that a store which keeps objects
// as files can hold them all.
package artifact

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"vapo/lib/failure"
	"vapo/lib/objectstore"
)

// ErrNotFound is objectstore's: there is no such blob, record, ref or state.
var ErrNotFound = objectstore.ErrNotFound

// ErrCorrupt: what the store returned is not what was once stored. Errors that
// match it are *CorruptError.
var ErrCorrupt = failure.New(failure.Integrity, "", "corrupt object in the store")

// CorruptError says which object is damaged.
type CorruptError struct {
	Object string // key in the store
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

// Digest names content: "sha256:" and 64 lower-case hexadecimal digits.
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

// Hex is the digest without its prefix.
func (d Digest) Hex() string { return strings.TrimPrefix(string(d), digestPrefix) }

// Short is enough of the digest to tell it from others on a screen.
func (d Digest) Short() string {
	if hex := d.Hex(); len(hex) >= 12 {
		return hex[:12]
	}
	return string(d)
}

// Store is the artifact view of an object store. It is safe for concurrent use.
type Store struct {
	objects objectstore.Store
	tempDir string
}

// New is a Store over objects.
func New(objects objectstore.Store) *Store { return &Store{objects: objects} }

// String names the store without secrets.
func (s *Store) String() string { return s.objects.String() }

// Objects is the store underneath.
func (s *Store) Objects() objectstore.Store { return s.objects }

func (s *Store) corrupt(key, hint, format string, args ...any) error {
	return &CorruptError{Object: key, Store: s.objects.String(), Reason: fmt.Sprintf(format, args...), Hint: hint}
}

// maxDocument bounds the JSON documents this package reads into memory.
const maxDocument = 64 << 20

// readDocument reads a small object whole, with its ETag.
func (s *Store) readDocument(ctx context.Context, key string) ([]byte, objectstore.Info, error) {
	body, info, err := s.objects.Get(ctx, key)
	if err != nil {
		return nil, info, err
	}
	defer body.Close()
	if info.Size > maxDocument {
		return nil, info, s.corrupt(key, "", "it is %d bytes long", info.Size)
	}
	data, err := io.ReadAll(body)
	return data, info, err
}

func (s *Store) writeDocument(ctx context.Context, key string, v any, opt objectstore.PutOptions) (objectstore.Info, error) {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return objectstore.Info{}, fmt.Errorf("encode %s: %w", key, err)
	}
	data = append(data, '\n')
	return s.objects.Put(ctx, key, strings.NewReader(string(data)), int64(len(data)), opt)
}
