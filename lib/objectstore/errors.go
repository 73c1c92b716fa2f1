package objectstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"vapo/lib/failure"

	"github.com/minio/minio-go/v7"
)

// Error is what every operation fails with.
type Error struct {
	Op    string // "get", "put", "head", "delete", "list", "open", "probe"
	Key   string // the object; empty when the store as a whole is meant
	Store string // as Store.String
	Kind  error  // one of the package's classes, or nil
	Hint  string // what a person can do about it; may be empty
	Err   error  // the cause as the client library told it
}

func (e *Error) Error() string {
	what := e.Op
	if e.Key != "" {
		what += " " + e.Key
	}
	switch {
	case e.Kind == nil:
		return fmt.Sprintf("%s: %v (%s)", what, e.Err, e.Store)
	case e.Err == nil:
		return fmt.Sprintf("%s: %v (%s)", what, e.Kind, e.Store)
	}
	return fmt.Sprintf("%s: %v: %v (%s)", what, e.Kind, e.Err, e.Store)
}

// Unwrap makes the class, the denial behind a read-only store, and the cause
// visible to errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	errs := make([]error, 0, 2)
	for _, err := range []error{e.Kind, e.Err} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// FailureClass implements failure.Carrier: that of the kind if it carries one, else Store.
func (e *Error) FailureClass() failure.Class {
	var c failure.Carrier
	if errors.As(e.Kind, &c) {
		return c.FailureClass()
	}
	return failure.Store
}

// FailureHint implements failure.Carrier.
func (e *Error) FailureHint() string { return e.Hint }

// verdict is what is made of one failed attempt.
type verdict struct {
	kind      error
	hint      string
	attempts  int  // how often the request may be made in all
	ambiguous bool // the server may have carried the request out all the same
}

const (
	once = 1
	// A refused connection is usually a server that is not there, sometimes
	// one that is just starting: about a second in all.
	fewTimes = 4
	// Overload and contention pass: about ten seconds in all.
	manyTimes = 7
)

const hintReach = "check AWS_ENDPOINT_URL and that the server runs, or unset VAPO_STORE to use the embedded store"

// judge classifies an error of minio-go or below. write says whether the
// request would have changed the store.
func judge(err error, write bool) verdict {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return verdict{attempts: once, ambiguous: true}
	}
	var resp minio.ErrorResponse
	if errors.As(err, &resp) {
		return judgeResponse(resp, write)
	}
	var (
		dns     *net.DNSError
		op      *net.OpError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		cert    *tls.CertificateVerificationError
		record  tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &dns):
		return verdict{kind: ErrUnreachable, hint: hintReach, attempts: once}
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &cert):
		return verdict{kind: ErrUnreachable, hint: "the server's certificate is not trusted; name its authority in SSL_CERT_FILE", attempts: once}
	case errors.As(err, &record):
		return verdict{kind: ErrUnreachable, hint: "the server does not speak TLS; use http:// in AWS_ENDPOINT_URL", attempts: once}
	case errors.As(err, &op) && op.Op == "dial":
		v := verdict{kind: ErrUnreachable, hint: hintReach, attempts: fewTimes}
		if op.Timeout() {
			v.attempts = once
		}
		return v
	case isNetwork(err):
		return verdict{kind: ErrUnreachable, hint: "the connection broke repeatedly; " + hintReach, attempts: manyTimes, ambiguous: true}
	}
	return verdict{attempts: once}
}

func isNetwork(err error) bool {
	var (
		netErr net.Error
		urlErr *url.Error
	)
	return errors.As(err, &netErr) || errors.As(err, &urlErr) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func judgeResponse(resp minio.ErrorResponse, write bool) verdict {
	switch resp.Code {
	case "NoSuchKey", "NoSuchUpload":
		return verdict{kind: ErrNotFound, attempts: once}
	case "NoSuchBucket":
		return verdict{kind: ErrNoBucket, hint: "create the bucket, or correct VAPO_STORE", attempts: once}
	case "PreconditionFailed":
		return verdict{kind: ErrExists, attempts: once}
	case "InvalidRange":
		return verdict{kind: ErrRange, attempts: once}
	case "InvalidAccessKeyId", "InvalidAccessKeyID", "XAdminUserNotFound": // the last is versitygw's, with status 404
		return verdict{kind: ErrDenied, hint: "the store does not know AWS_ACCESS_KEY_ID", attempts: once}
	case "SignatureDoesNotMatch":
		return verdict{kind: ErrDenied, hint: "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID", attempts: once}
	case "RequestTimeTooSkewed":
		return verdict{kind: ErrDenied, hint: "this machine's clock and the store's differ; set the clock", attempts: once}
	case "ExpiredToken", "InvalidToken":
		return verdict{kind: ErrDenied, hint: "AWS_SESSION_TOKEN is invalid or has expired", attempts: once}
	case "AuthorizationHeaderMalformed", "InvalidRegion", "PermanentRedirect", "IllegalLocationConstraintException":
		hint := "set AWS_REGION to the bucket's region"
		if resp.Region != "" {
			hint += ", " + resp.Region
		}
		return verdict{kind: ErrDenied, hint: hint, attempts: once}
	case "QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "StorageFull":
		return verdict{kind: ErrNoSpace, hint: "free space where the store keeps its objects, or raise the quota", attempts: once}
	case "MethodNotAllowed":
		if write {
			return verdict{kind: ErrReadOnly, hint: "the store's file system or directory does not allow writing", attempts: once}
		}
	case "ConditionalRequestConflict", "OperationAborted":
		return verdict{attempts: manyTimes, ambiguous: true} // AWS under contention
	case "ObjectParentIsFile", "ExistingObjectIsDirectory":
		// A store that keeps objects as files says so for a moment, too, while others write and delete the same key.
		return verdict{hint: "one key is a directory prefix of another, which this store cannot hold", attempts: fewTimes}
	case "InternalError":
		return verdict{hint: "the store failed; its log says why", attempts: fewTimes, ambiguous: true}
	case "AccessDenied":
		if write {
			return verdict{kind: errReadOnlyDenied, hint: "these credentials may not write here; check the bucket's policy", attempts: once}
		}
		return verdict{kind: ErrDenied, hint: "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy", attempts: once}
	}
	switch code := resp.StatusCode; {
	case code == http.StatusInsufficientStorage:
		return verdict{kind: ErrNoSpace, hint: "free space where the store keeps its objects", attempts: once}
	// Not 404: only a store that says the object is missing may be believed.
	case code == http.StatusForbidden || code == http.StatusUnauthorized:
		return verdict{kind: ErrDenied, hint: "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy", attempts: once}
	case code == http.StatusPreconditionFailed:
		return verdict{kind: ErrExists, attempts: once}
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests,
		code >= 500 && code != http.StatusNotImplemented:
		return verdict{hint: "the store is overloaded or failing", attempts: manyTimes, ambiguous: true}
	}
	return verdict{attempts: once}
}

// errReadOnlyDenied is a refused write: both a denial and, to a caller that
// could read, a read-only store.
var errReadOnlyDenied = readOnlyDenied{}

type readOnlyDenied struct{}

func (readOnlyDenied) Error() string   { return ErrReadOnly.Error() }
func (readOnlyDenied) Unwrap() []error { return []error{ErrReadOnly, ErrDenied} }
