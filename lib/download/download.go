// Package download fetches published files over HTTP. An interrupted download resumes where it stopped, even in another
// process. A file appears under its name only after its content has matched the published digest.
package download

import (
	"cmp"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/hashicorp/go-retryablehttp"

	"vapo/lib/failure"
)

// File describes a file to download once. Until the content is complete, it is in Path.part. Path.part.etag holds the
// ETag of the server's version, so that parts of two versions are never mixed.
type File struct {
	URL, Path string
	Digest    string                  // "sha256:…" or "md5:…", in hexadecimal
	MaxBytes  int64                   // a longer file is refused
	Progress  func(done, total int64) // in bytes; total is -1 if the server does not state it
	Log       *slog.Logger            // receives a warning before each retry

	part                 *os.File
	stall                *time.Timer
	size, total, longest int64 // bytes of the content: so far, when complete, and the maximum of size so far
	futile               int   // consecutive attempts without progress
}

const (
	maxFutile = 6 // consecutive attempts without progress after which a download fails
	hint      = "check the address, and HTTPS_PROXY if a proxy is needed; or get the file in another way"
)

// firstWait is the wait before the first retry. maxSilence is how long a server may send nothing before the request is
// repeated. Tests change both.
var firstWait, maxSilence = time.Second, time.Minute

// Get downloads the file. If it fails, it keeps the content for the next call unless the content is wrong.
func (f *File) Get(ctx context.Context) (err error) {
	part := f.Path + ".part"
	lock := flock.New(part, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o644))
	if locked, err := lock.TryLock(); !locked {
		err = cmp.Or(err, errors.New("another process is downloading it"))
		return failure.New(failure.Usage, "wait, or name another file that can be written", "%s: %w", part, err)
	}
	defer lock.Close()
	if f.part, err = os.OpenFile(part, os.O_RDWR|os.O_APPEND, 0); err != nil {
		return err
	}
	defer f.part.Close()
	if f.verify() != nil { // if it matches, the file only has to be renamed
		err = f.transfer(ctx)
	}
	if err == nil {
		err = errors.Join(f.part.Sync(), os.Rename(part, f.Path))
	}
	if err == nil || f.size == 0 || failure.ClassOf(err) == failure.Integrity {
		os.Remove(part)
		os.Remove(f.etag())
	}
	return err
}

func (f *File) etag() string { return f.Path + ".part.etag" }

func (f *File) verify() error {
	kind, want, _ := strings.Cut(f.Digest, ":")
	h := map[string]hash.Hash{"sha256": sha256.New(), "md5": md5.New()}[kind]
	if _, err := io.Copy(h, io.NewSectionReader(f.part, 0, math.MaxInt64)); err != nil {
		return err
	}
	if got := fmt.Sprintf("%x", h.Sum(nil)); got != want {
		return failure.New(failure.Integrity, "the content was removed; try again, or another address",
			"%s sent content with the %s digest %s, expected %s", f.URL, kind, got, want)
	}
	return nil
}

// transfer downloads the missing content and verifies the whole. retryablehttp decides which errors are worth a retry,
// increases the waits and obeys Retry-After. Its response handler also covers bodies that break off. Its hook
// before each request asks only for the missing content.
func (f *File) transfer(ctx context.Context) error {
	client := retryablehttp.NewClient() // it uses the proxies of the environment
	transport := client.HTTPClient.Transport.(*http.Transport)
	transport.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	transport.ResponseHeaderTimeout = maxSilence
	client.Logger, client.ErrorHandler = nil, retryablehttp.PassthroughErrorHandler
	client.RetryMax, client.RetryWaitMin = math.MaxInt, firstWait
	client.CheckRetry, client.RequestLogHook = f.retry, f.prepare
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, f.URL, nil)
	if err != nil {
		return failure.New(failure.Usage, "", "%w", err)
	}
	req.SetResponseHandler(f.receive)
	if _, err = client.Do(req); ctx.Err() != nil {
		return context.Cause(ctx)
	} else if err != nil {
		return failure.Default(failure.Input, hint, err)
	}
	return f.verify()
}

// prepare makes the request ask for the missing content, or for everything if the server now has another version.
func (f *File) prepare(_ retryablehttp.Logger, req *http.Request, _ int) {
	f.size, req.Header = 0, http.Header{"User-Agent": {"vapo"}, "Accept-Encoding": {"identity"}}
	info, err := f.part.Stat()
	if version, _ := os.ReadFile(f.etag()); len(version) > 0 && err == nil && info.Size() > 0 {
		f.size = info.Size()
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", f.size))
		req.Header.Set("If-Range", string(version))
	}
}

// receive writes the body of a response to the file, after the content that is already there.
func (f *File) receive(res *http.Response) error {
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK: // the whole file
		f.size = 0
		version := res.Header.Get("ETag")
		if !strings.HasPrefix(version, `"`) { // If-Range accepts only a strong ETag or a date
			version = res.Header.Get("Last-Modified")
		}
		if err := errors.Join(f.part.Truncate(0), os.WriteFile(f.etag(), []byte(version), 0o644)); err != nil {
			return failure.Default(failure.Usage, "", err)
		}
	case http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable:
		if got := res.Header.Get("Content-Range"); !strings.HasPrefix(got, fmt.Sprintf("bytes %d-", f.size)) {
			return errors.Join(fmt.Errorf("requested the bytes from %d on, got %q", f.size, got), os.Remove(f.etag()))
		}
	default:
		return failure.New(failure.Input, hint, "%s: the server answers %s", f.URL, res.Status)
	}
	if f.total = -1; res.ContentLength >= 0 {
		f.total = f.size + res.ContentLength
	}
	f.stall = time.AfterFunc(maxSilence, func() { res.Body.Close() }) // makes the read fail
	_, err := io.Copy(f, res.Body)
	if !f.stall.Stop() && err != nil {
		err = fmt.Errorf("nothing came for %v", maxSilence)
	}
	return err
}

// Write appends to the content. It is exported only because Get copies to the File.
func (f *File) Write(p []byte) (int, error) {
	f.stall.Reset(maxSilence)
	if size := max(f.total, f.size+int64(len(p))); size > f.MaxBytes {
		return 0, failure.New(failure.Integrity, hint, "%s has at least %d bytes, expected at most %d",
			f.URL, size, f.MaxBytes)
	}
	n, err := f.part.Write(p)
	f.size += int64(n)
	f.Progress(f.size, f.total)
	return n, failure.Default(failure.Usage, "", err)
}

// retry decides whether to make another attempt. An error with a failure class is final. An unknown host is also final
// as long as no content has arrived.
func (f *File) retry(ctx context.Context, res *http.Response, err error) (bool, error) {
	again, ctxErr := retryablehttp.DefaultRetryPolicy(ctx, res, err)
	var final failure.Carrier
	var dns *net.DNSError
	if !again || errors.As(err, &final) || errors.As(err, &dns) && dns.IsNotFound && f.longest == 0 {
		return false, cmp.Or(ctxErr, err)
	}
	if f.futile++; f.size > f.longest {
		f.longest, f.futile = f.size, 0
	}
	if err == nil {
		err = fmt.Errorf("the server answers %s", res.Status)
	}
	if f.futile == maxFutile {
		return false, fmt.Errorf("%s: %d attempts made no progress, the last: %w", f.URL, maxFutile, err)
	}
	f.Log.Warn("download interrupted, retrying", "error", err.Error(), "bytes", f.size)
	return true, nil
}
