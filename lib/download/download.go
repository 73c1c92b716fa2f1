// Package download fetches published files over HTTP. An interrupted download resumes where it stopped, even if the
// process ended, and a file gets its name only after its content has matched the published digest.
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

// File is a file to download once. Its content is in Path.part until it is complete. Path.part.etag names the server's
// version of the file, so that parts of two versions are never mixed.
type File struct {
	URL, Path string
	Digest    string                  // "sha256:…" or "md5:…", in hexadecimal
	MaxBytes  int64                   // longer content is refused
	Progress  func(done, total int64) // in bytes; total is -1 if the server does not state it
	Log       *slog.Logger            // gets a warning when an attempt failed and another one follows

	part                 *os.File
	stall                *time.Timer
	size, total, longest int64 // of the content: now, in the end, at most so far
	futile               int   // consecutive attempts without progress
}

const (
	maxFutile = 6 // consecutive attempts without progress after which a download fails
	hint      = "check the address, and HTTPS_PROXY if a proxy is needed; or get the file in another way"
)

// Times before the first retry, and until a silent server is asked again; variables for the tests.
var firstWait, maxSilence = time.Second, time.Minute

// Get downloads the file. If it fails, the content stays for the next call, unless it is wrong.
func (f *File) Get(ctx context.Context) (err error) {
	part, etag := f.Path+".part", f.Path+".part.etag"
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
	if f.verify() != nil { // otherwise only the name was missing
		err = f.transfer(ctx)
	}
	if err == nil {
		err = errors.Join(f.part.Sync(), os.Rename(part, f.Path))
	}
	if err == nil || f.size == 0 || failure.ClassOf(err) == failure.Integrity {
		os.Remove(part)
		os.Remove(etag)
	}
	return err
}

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

// transfer completes the content and verifies it. We use retryablehttp because it knows which errors are worth a retry,
// waits longer each time and obeys Retry-After. Its response handler covers bodies that break off, and its retry hook
// requests only the rest.
func (f *File) transfer(ctx context.Context) error {
	client := retryablehttp.NewClient() // connects within 30 s, through the proxies of the environment
	client.HTTPClient.Transport.(*http.Transport).ResponseHeaderTimeout = maxSilence
	client.Logger, client.ErrorHandler = nil, retryablehttp.PassthroughErrorHandler
	client.RetryMax, client.RetryWaitMin = math.MaxInt, firstWait
	client.CheckRetry, client.PrepareRetry = f.retry, f.prepare
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, f.URL, nil)
	if err != nil {
		return failure.New(failure.Usage, "", "%w", err)
	}
	req.SetResponseHandler(f.receive)
	if err = f.prepare(req.Request); err == nil {
		_, err = client.Do(req)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	} else if err != nil {
		return failure.Default(failure.Input, hint, err)
	}
	return f.verify()
}

// prepare requests the missing content, or everything if the server has another version now.
func (f *File) prepare(req *http.Request) error {
	info, err := f.part.Stat()
	if err != nil {
		return err
	}
	f.size, req.Header = 0, http.Header{"User-Agent": {"vapo"}, "Accept-Encoding": {"identity"}}
	if version, err := os.ReadFile(f.Path + ".part.etag"); err == nil && len(version) > 0 && info.Size() > 0 {
		f.size = info.Size()
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", f.size))
		req.Header.Set("If-Range", string(version))
	}
	return nil
}

// receive appends the body of a response to the content.
func (f *File) receive(res *http.Response) error {
	defer res.Body.Close()
	got, version := res.Header.Get("Content-Range"), res.Header.Get("ETag")
	if !strings.HasPrefix(version, `"`) { // If-Range takes a strong ETag, or a date
		version = res.Header.Get("Last-Modified")
	}
	switch etag := f.Path + ".part.etag"; res.StatusCode {
	case http.StatusOK: // the whole file
		f.size = 0
		if err := errors.Join(f.part.Truncate(0), os.WriteFile(etag, []byte(version), 0o644)); err != nil {
			return failure.Default(failure.Usage, "", err)
		}
	case http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable:
		if !strings.HasPrefix(got, fmt.Sprintf("bytes %d-", f.size)) {
			return errors.Join(fmt.Errorf("requested the bytes from %d on, got %q", f.size, got), os.Remove(etag))
		}
	default:
		return failure.New(failure.Input, hint, "%s: the server answers %s", f.URL, res.Status)
	}
	if f.total = -1; res.ContentLength >= 0 {
		f.total = f.size + res.ContentLength
	}
	f.stall = time.AfterFunc(maxSilence, func() { res.Body.Close() }) // ends the read
	_, err := io.Copy(f, res.Body)
	if !f.stall.Stop() && err != nil {
		err = fmt.Errorf("nothing came for %v", maxSilence)
	}
	return err
}

// Write appends to the content; it is called by Get.
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

// retry decides whether another attempt follows. Errors with a class are final, as is an unknown host at the beginning.
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
