// Package objectstore is the one door to S3-compatible storage.
//
// A cache that several runners share stands on two promises that plain S3
// clients keep badly: a conditional write must really be conditional, and the
// one who won must be told so. This package is minio-go with exactly those
// promises kept, and tested against more than one server:
//
//   - Put with IfAbsent or IfMatch is atomic, also above the multipart
//     threshold, where minio-go's own PutObject drops the condition.
//   - A write that was retried is never reported as lost to itself: conditional
//     writes carry a nonce, which is read back when a retry meets the object
//     its first attempt made.
//   - Every failure is an [*Error] that names the operation, the object and the
//     store, says what to do about it, and answers errors.Is for the few
//     classes a caller acts on. It never holds a credential.
//
// An ETag is only good for IfMatch: it is no digest of the content.
package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"syscall"
	"time"

	"vapo/lib/failure"
)

// The classes of failure a caller acts on; test with errors.Is.
var (
	// ErrNotFound: there is no object of that name. A missing bucket is not
	// this but ErrNoBucket: it must never pass for a cache miss.
	ErrNotFound = failure.New(failure.Input, "", "not found")
	// ErrExists: a condition of Put did not hold. Under IfAbsent the object
	// exists; under IfMatch it is another one, or gone.
	ErrExists = errors.New("precondition failed")
	// ErrDenied: the store does not accept these credentials, or not for this.
	ErrDenied = errors.New("access denied")
	// ErrUnreachable: nothing answers at the endpoint.
	ErrUnreachable = errors.New("store unreachable")
	// ErrReadOnly: the store can be read but not written.
	ErrReadOnly = errors.New("store is read-only")
	// ErrNoBucket: the bucket does not exist.
	ErrNoBucket = errors.New("no such bucket")
	// ErrNoSpace: the store is full. It also matches syscall.ENOSPC.
	ErrNoSpace = fmt.Errorf("store is full: %w", syscall.ENOSPC)
	// ErrRange: GetRange began at or after the object's end.
	ErrRange = errors.New("range not satisfiable")
	// ErrContent: the bytes given to Put are not those its size or digest
	// promised. Nothing was written.
	ErrContent = failure.New(failure.Integrity, "", "content differs from what was announced")
	// ErrUnconditional: the store accepts conditional writes and ignores the
	// condition. It cannot hold a shared cache.
	ErrUnconditional = errors.New("store ignores conditional writes")
	// ErrConfig: the configuration is incomplete or malformed.
	ErrConfig = failure.New(failure.Usage, "", "store configuration")
)

// Info describes a stored object.
type Info struct {
	Key     string    // as given to the Store, without the store's prefix
	Size    int64     // bytes
	ETag    string    // for PutOptions.IfMatch, without quotes
	ModTime time.Time // by the store's clock; zero from Put
	SHA256  string    // as given to Put, in hexadecimal; empty if it was not, and from List
}

// PutOptions are the conditions of a write.
type PutOptions struct {
	// IfAbsent creates the object only if none has its name.
	IfAbsent bool
	// IfMatch replaces the object only if its ETag is this one.
	IfMatch string
	// SHA256 is the digest of the whole content in hexadecimal, if known. The
	// content is checked against it before it becomes visible, and it is kept
	// with the object: Get and Head return it. It is what the writer meant, so
	// it still takes a reader to check the content.
	SHA256 string
}

// Store is a flat space of named objects. All methods are safe for concurrent
// use, stop when the context ends, and retry what is worth retrying (overload,
// broken connections, contention) for a few seconds before they fail with an
// [*Error].
//
// Keys are relative paths of UTF-8 elements separated by single slashes. No key
// may be a directory prefix of another ("a" beside "a/b"): a store that keeps
// objects as files cannot hold both.
type Store interface {
	// Get opens an object. The reader continues over broken connections and
	// fails rather than mix two versions of the object. Fails with ErrNotFound.
	Get(ctx context.Context, key string) (io.ReadCloser, Info, error)

	// GetRange opens n bytes from offset off, or those up to the end if there
	// are fewer or n is negative. Fails with ErrNotFound or ErrRange.
	GetRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error)

	// Put writes an object of size bytes, or of whatever r holds when size is
	// negative. The object appears whole or not at all, and replaces an older
	// one at once. With a condition the check and the write are one step: of
	// any number of concurrent writers with IfAbsent exactly one succeeds, and
	// the others get ErrExists. r is read once, whatever is retried.
	Put(ctx context.Context, key string, r io.Reader, size int64, opt PutOptions) (Info, error)

	// Head describes an object. Fails with ErrNotFound.
	Head(ctx context.Context, key string) (Info, error)

	// Delete removes an object. It is no error if there is none.
	Delete(ctx context.Context, key string) error

	// List yields the objects whose key begins with prefix, in the order of
	// their keys. Objects written or deleted meanwhile may or may not show. It
	// stops at the first error.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]

	// String names the store without secrets: "s3://bucket/prefix at URL".
	String() string
}
