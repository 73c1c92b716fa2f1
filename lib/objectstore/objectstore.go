// Package objectstore is a client of S3-compatible storage.
//
// A cache that several runners share depends on two guarantees that plain S3 clients do not fully give: a conditional
// write must really be conditional, and its winner must learn that it won. This package adds them to minio-go and is
// tested against more than one server:
//
//   - Put with IfAbsent or IfMatch is atomic, even above the multipart threshold, where minio-go's own PutObject
//     ignores the condition.
//   - A retried write never loses to its own first attempt. Conditional writes store a nonce with the object; a retry
//     that finds an existing object reads the nonce to see which writer created it.
//   - Every failure is an [*Error] that names the operation, the object and the store. If one of the classes below
//     applies, the error matches it (errors.Is) and usually hints at a remedy. It never contains credentials.
//
// An ETag is only useful for IfMatch: it is not a digest of the content.
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

// Error classes, to be tested with errors.Is.
var (
	// ErrNotFound: the object does not exist. A missing bucket is ErrNoBucket instead, because it must not look like a
	// cache miss.
	ErrNotFound = failure.New(failure.Input, "", "not found")
	// ErrExists: a condition of Put did not hold. With IfAbsent, the object exists; with IfMatch, the object has changed
	// or no longer exists.
	ErrExists = errors.New("precondition failed")
	// ErrDenied: the store rejects the credentials, or they do not permit this operation.
	ErrDenied = errors.New("access denied")
	// ErrUnreachable: no store answers at the endpoint.
	ErrUnreachable = errors.New("store unreachable")
	// ErrReadOnly: the store can be read but not written.
	ErrReadOnly = errors.New("store is read-only")
	// ErrNoBucket: the bucket does not exist.
	ErrNoBucket = errors.New("no such bucket")
	// ErrNoSpace: the store is full. It also matches syscall.ENOSPC.
	ErrNoSpace = fmt.Errorf("store is full: %w", syscall.ENOSPC)
	// ErrRange: the range of GetRange begins at or after the object's end.
	ErrRange = errors.New("range not satisfiable")
	// ErrContent: the bytes given to Put do not match the announced size or digest. Nothing was written.
	ErrContent = failure.New(failure.Integrity, "", "content differs from what was announced")
	// ErrUnconditional: the store accepts conditional writes but ignores the condition, so it cannot hold a shared cache.
	ErrUnconditional = errors.New("store ignores conditional writes")
	// ErrConfig: the configuration is incomplete or malformed.
	ErrConfig = failure.New(failure.Usage, "", "store configuration")
)

// Info describes a stored object.
type Info struct {
	Key     string    // as passed to the Store, without the prefix of Config
	Size    int64     // bytes
	ETag    string    // for PutOptions.IfMatch, without quotes
	ModTime time.Time // by the store's clock; Put may leave it zero
	Date    time.Time // the store's time when it answered; set only by Get
	SHA256  string    // as given to Put, in hexadecimal, or empty; Get and Head set it, List never does
}

// PutOptions holds the conditions of a write and the expected digest.
type PutOptions struct {
	// IfAbsent creates the object only if it does not exist.
	IfAbsent bool
	// IfMatch replaces the object only if its current ETag equals this value.
	IfMatch string
	// SHA256 is the digest of the whole content in hexadecimal, if known. Put compares it with the content; if they
	// differ, Put fails with ErrContent and no object appears. The digest is stored with the object, and Get and Head
	// return it. Get does not check what it reads, so its callers must.
	SHA256 string
}

// Store is a flat space of named objects. All methods are safe for concurrent use, stop when the context ends, and
// retry temporary failures (overload, broken connections, contention) for a few seconds before they fail with an
// [*Error]. If the store is unavailable, they wait for as long as Config.Patience.
//
// Keys are relative paths of UTF-8 elements separated by single slashes. No key may be a directory prefix of another
// ("a" and "a/b"): a store that keeps objects as files cannot hold both.
type Store interface {
	// Get opens an object. The reader resumes after a broken connection and fails rather than mix two versions of the
	// object. Get fails with ErrNotFound if the object does not exist.
	Get(ctx context.Context, key string) (io.ReadCloser, Info, error)

	// GetRange opens n bytes from offset off, or fewer if the object ends first. A negative n reads to the end of the
	// object. GetRange fails with ErrNotFound or ErrRange.
	GetRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error)

	// Put writes an object of size bytes; with a negative size it reads r to the end. The object appears whole or not at
	// all and replaces an older object atomically. The store checks the condition and writes the object in one step: if
	// several writers use IfAbsent at once, exactly one succeeds and the others fail with ErrExists. r is read once, even
	// if requests are retried.
	Put(ctx context.Context, key string, r io.Reader, size int64, opt PutOptions) (Info, error)

	// Head returns the description of an object. It fails with ErrNotFound if the object does not exist.
	Head(ctx context.Context, key string) (Info, error)

	// Delete removes an object. A missing object is not an error. If the store's answer is lost, Delete sends the request
	// again, which may remove an object that another program has created in the meantime; see DeleteUnchanged.
	Delete(ctx context.Context, key string) error

	// DeleteUnchanged removes at most MaxDelete objects, in one request if nothing fails. objects are results of Put, Head
	// or List that were obtained at the time looked or later. If looked is more than two seconds ago, and before each
	// retry, DeleteUnchanged checks every object again. It keeps and returns objects that have changed. Not every S3
	// server supports conditional deletion, so an object that is replaced between check and request is lost.
	DeleteUnchanged(ctx context.Context, objects []Info, looked time.Time) (changed []Info, err error)

	// List yields the objects whose key begins with prefix, in the order of their keys. It may or may not include objects
	// that are written or deleted while it runs. It stops at the first error.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]

	// Uploads yields the keys of unfinished uploads that began before the given time, by the store's clock. Killed writers
	// leave such uploads behind. If abort is true, Uploads aborts them, which frees their parts.
	Uploads(ctx context.Context, before time.Time, abort bool) iter.Seq2[string, error]

	// String names the store without secrets: "s3://bucket/prefix at URL".
	String() string
}
