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

// Error is the error type of every operation.
type Error struct {
	Op    string // such as "get", "put", "head", "delete", "list", "open" or "probe"
	Key   string // the object; empty if the operation concerns the whole store
	Store string // the result of Store.String
	Kind  error  // one of the package's error classes, or nil
	Hint  string // what a person can do about it; may be empty
	Err   error  // the cause, as the client library reported it
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

// Unwrap makes the class and the cause visible to errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	errs := make([]error, 0, 2)
	for _, err := range []error{e.Kind, e.Err} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// FailureClass implements failure.Carrier. It returns the class of Kind or, if Kind is nil, of Err. It returns
// failure.Store if that has no class. Err has one if the data to store cannot be read or has changed.
func (e *Error) FailureClass() failure.Class {
	var c failure.Carrier
	if errors.As(e.Kind, &c) || e.Kind == nil && errors.As(e.Err, &c) {
		return c.FailureClass()
	}
	return failure.Store
}

// FailureHint implements failure.Carrier.
func (e *Error) FailureHint() string { return e.Hint }

// verdict is the classification of one failed attempt.
type verdict struct {
	kind      error
	hint      string
	attempts  int  // how many attempts the request gets in total
	ambiguous bool // the server may have carried out the request despite the error
	away      bool // the store may come back, so retry for as long as Config.Patience allows
}

const (
	once = 1
	// An attempt that ends with a timeout takes long, so there are only two.
	twice = 2
	// A refused connection usually means that no server is running, but the server may be just starting. The pauses take
	// less than a second in total.
	fewTimes = 4
	// Overload and contention are temporary. The pauses take about six seconds in total.
	manyTimes = 7
)

const (
	hintReach  = "check AWS_ENDPOINT_URL and whether the server is running, or unset VAPO_STORE to use the embedded store"
	hintBroken = "the connection broke repeatedly; " + hintReach
	hintProxy  = "check HTTPS_PROXY, or add the server to NO_PROXY if it needs no proxy"
	hintCert   = "set AWS_CA_BUNDLE to a file with the certificate of the authority that signed the server's certificate"
	hintName   = "in AWS_ENDPOINT_URL, use a name that is in the server's certificate"
	hintDate   = "correct this machine's clock, or renew the server's certificate"
	hintNoTLS  = "the server does not speak TLS; use http:// in AWS_ENDPOINT_URL"
	hintDenied = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy"
)

// permanent is the verdict on a failure that a retry cannot change.
func permanent(kind error, hint string) verdict {
	return verdict{kind: kind, hint: hint, attempts: once}
}

// judge classifies an error from minio-go or the network in a request whose context is ctx. write is true for a request
// that changes the store.
func judge(ctx context.Context, err error, write bool) verdict {
	// Only ctx shows that the caller gave up: net/http's own timeouts also match context.DeadlineExceeded.
	if ctx.Err() != nil {
		return verdict{attempts: once, ambiguous: true}
	}
	var resp minio.ErrorResponse
	if errors.As(err, &resp) {
		return judgeResponse(resp, write)
	}
	var (
		dns     *net.DNSError
		op      *net.OpError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		cert    *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		timeout net.Error
	)
	switch {
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return verdict{kind: ErrUnreachable, hint: hintProxy, attempts: fewTimes, away: true}
	case errors.As(err, &dns):
		if dns.IsNotFound {
			return permanent(ErrUnreachable, hintReach)
		}
		return verdict{kind: ErrUnreachable, hint: hintReach, attempts: fewTimes, away: true}
	case errors.As(err, &host):
		return permanent(ErrUnreachable, hintName)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return permanent(ErrUnreachable, hintDate)
	case errors.As(err, &cert):
		return permanent(ErrUnreachable, hintCert)
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return permanent(ErrUnreachable, hintNoTLS)
	case errors.As(err, &op) && op.Op == "dial":
		v := verdict{kind: ErrUnreachable, hint: hintReach, attempts: fewTimes, away: true}
		if op.Timeout() {
			v.attempts = once
		}
		return v
	case isNetwork(err):
		v := verdict{kind: ErrUnreachable, hint: hintBroken, attempts: manyTimes, ambiguous: true, away: true}
		if errors.As(err, &timeout) && timeout.Timeout() {
			v.attempts = twice
		}
		return v
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
		return permanent(ErrNotFound, "")
	case "NoSuchBucket":
		if resp.RequestID == "" { // minio-go also reports this code for a 404 without an S3 error
			return permanent(ErrUnreachable, hintReach)
		}
		return permanent(ErrNoBucket, "create the bucket, or correct VAPO_STORE")
	case "PreconditionFailed":
		return permanent(ErrExists, "")
	case "InvalidRange":
		return permanent(ErrRange, "")
	case "InvalidAccessKeyId", "InvalidAccessKeyID", "XAdminUserNotFound": // the last is versitygw's, with status 404
		return permanent(ErrDenied, "the store does not know AWS_ACCESS_KEY_ID")
	case "SignatureDoesNotMatch":
		return permanent(ErrDenied, "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID")
	case "RequestTimeTooSkewed":
		return permanent(ErrDenied, "this machine's clock and the store's differ; set the clock")
	case "ExpiredToken", "InvalidToken", "InvalidTokenId": // the last is MinIO's
		return permanent(ErrDenied, "AWS_SESSION_TOKEN is invalid or has expired")
	case "AuthorizationHeaderMalformed", "InvalidRegion", "PermanentRedirect", "IllegalLocationConstraintException":
		hint := "set AWS_REGION to the bucket's region"
		if resp.Region != "" {
			hint += ", " + resp.Region
		}
		return permanent(ErrDenied, hint)
	case "QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "StorageFull":
		return permanent(ErrNoSpace, "free space where the store keeps its objects, or raise the quota")
	case "MethodNotAllowed":
		if write {
			return permanent(ErrReadOnly, "the store's file system or directory does not allow writing")
		}
	case "ConditionalRequestConflict", "OperationAborted":
		return verdict{attempts: manyTimes, ambiguous: true} // AWS returns these codes under contention
	case "ObjectParentIsFile", "ExistingObjectIsDirectory":
		// Stores that keep objects as files also report this error briefly while other clients write and delete the same key.
		return verdict{hint: "one key is a directory prefix of another, which this store cannot hold", attempts: fewTimes}
	case "InternalError":
		return verdict{hint: "the store failed; its log says why", attempts: fewTimes, ambiguous: true}
	case "AccessDenied":
		if write {
			return permanent(errReadOnlyDenied, "these credentials may not write here; check the bucket's policy")
		}
		return permanent(ErrDenied, hintDenied)
	}
	switch code := resp.StatusCode; {
	case code == http.StatusInsufficientStorage:
		return permanent(ErrNoSpace, "free space where the store keeps its objects")
	// Status 404 is missing on purpose: only the code NoSuchKey says that an object does not exist.
	case code == http.StatusForbidden || code == http.StatusUnauthorized:
		return permanent(ErrDenied, hintDenied)
	case code == http.StatusPreconditionFailed:
		return permanent(ErrExists, "")
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests,
		code >= 500 && code != http.StatusNotImplemented:
		// A load balancer answers with one of these three if its servers are unavailable.
		away := code == http.StatusBadGateway || code == http.StatusServiceUnavailable || code == http.StatusGatewayTimeout
		return verdict{hint: "the store is overloaded or failing", attempts: manyTimes, ambiguous: true, away: away}
	}
	return verdict{attempts: once}
}

// errReadOnlyDenied is the class of a write that the credentials do not permit. It matches ErrDenied and also
// ErrReadOnly, because the same credentials may still be able to read.
var errReadOnlyDenied = readOnlyDenied{}

type readOnlyDenied struct{}

func (readOnlyDenied) Error() string   { return ErrReadOnly.Error() }
func (readOnlyDenied) Unwrap() []error { return []error{ErrReadOnly, ErrDenied} }
