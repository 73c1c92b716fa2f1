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
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/hashicorp/go-retryablehttp"

	"vapo/lib/failure"
	"vapo/lib/stall"
)

// File describes a file to download. Until the content is complete and verified, it is in Path.part.
type File struct {
	URL, Path string
	Digest    string                  // "sha256:…" or "md5:…", in hexadecimal
	MaxBytes  int64                   // a limit for the content
	Progress  func(done, total int64) // in bytes; total is -1 if the server does not state it
	Log       *slog.Logger            // receives a warning before each retry

	part        *os.File
	size, total int64    // bytes of the content: so far, and when complete
	version     []string // ETag of the content so far, if known; it prevents mixing parts of two versions
}

const hint = "check the address, and HTTPS_PROXY if a proxy is needed; or obtain the file some other way"

// Tests shorten the pause before the first retry, and the time without data after which a request is repeated.
var firstWait, maxSilence = time.Second, time.Minute

// Get downloads the file. If it fails, it keeps the content for the next call unless the content is wrong.
func (f *File) Get(ctx context.Context) (err error) {
	part := f.Path + ".part"
	lock := flock.New(part, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o644))
	if locked, err := lock.TryLock(); !locked {
		err = cmp.Or(err, errors.New("another process is downloading it"))
		return failure.New(failure.Usage, "wait, or name another file that is writable", "%s: %w", part, err)
	}
	defer lock.Close()
	if f.part, err = os.OpenFile(part, os.O_RDWR|os.O_APPEND, 0); err != nil {
		return err
	}
	defer f.part.Close()
	if f.verify() != nil { // a complete file only has to be renamed
		err = f.transfer(ctx)
	}
	if err == nil {
		err = errors.Join(f.part.Sync(), os.Rename(part, f.Path))
	} else if f.size == 0 || failure.ClassOf(err) == failure.Integrity {
		os.Remove(part)
	}
	return err
}

func (f *File) verify() error {
	kind, want, _ := strings.Cut(f.Digest, ":")
	h := map[string]hash.Hash{"sha256": sha256.New(), "md5": md5.New()}[kind]
	_, err := io.Copy(h, io.NewSectionReader(f.part, 0, 1<<62))
	if got := fmt.Sprintf("%x", h.Sum(nil)); err == nil && got != want {
		return failure.New(failure.Integrity, "the downloaded content was removed; try again, or use another address",
			"%s sent content with the %s digest %s, expected %s", f.URL, kind, got, want)
	}
	return err
}

// transfer downloads the missing content and verifies the whole file. retryablehttp decides which errors are worth a
// retry, waits longer each time, obeys Retry-After and gives up after five attempts without new content.
func (f *File) transfer(ctx context.Context) error {
	client := retryablehttp.NewClient() // it uses the proxies set in the environment
	transport := client.HTTPClient.Transport.(*http.Transport)
	transport.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	transport.ResponseHeaderTimeout = maxSilence
	client.HTTPClient.Transport = stall.Transport{RoundTripper: transport, Limit: maxSilence}
	client.Logger, client.RetryWaitMin = nil, firstWait
	client.RequestLogHook, client.CheckRetry = f.prepare, f.retry
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, f.URL, nil)
	if err != nil {
		return failure.New(failure.Usage, "", "%w", err)
	}
	req.SetResponseHandler(f.receive)
	for before := int64(-1); before < f.size; {
		before = f.size
		if _, err = client.Do(req); err == nil {
			return f.verify()
		}
	}
	return failure.Default(failure.Input, hint, cmp.Or(context.Cause(ctx), err))
}

// prepare requests the missing content, or all of it if the server has a different version by now.
func (f *File) prepare(_ retryablehttp.Logger, req *http.Request, _ int) {
	f.size, req.Header = 0, http.Header{"User-Agent": {"vapo"}, "Accept-Encoding": {"identity"}}
	if info, err := f.part.Stat(); err == nil && info.Size() > 0 {
		f.size = info.Size()
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", f.size))
		req.Header["If-Range"] = f.version
	}
}

// receive writes the body to the file: with status 200 in place of the content so far, otherwise after that content.
func (f *File) receive(res *http.Response) (err error) {
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK { // the whole file
		f.size, f.version, err = 0, res.Header["Etag"], f.part.Truncate(0)
	} else if res.StatusCode != http.StatusPartialContent && res.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		return failure.New(failure.Input, hint, "%s: the server answered %s", f.URL, res.Status)
	}
	if f.total = f.size + res.ContentLength; res.ContentLength < 0 {
		f.total = -1
	}
	_, copyErr := io.Copy(f, io.LimitReader(res.Body, f.MaxBytes-f.size))
	return cmp.Or(err, copyErr)
}

// Write appends to the content. It is exported only because io.Copy writes to the File.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.part.Write(p)
	f.size += int64(n)
	f.Progress(f.size, f.total)
	return n, failure.Default(failure.Usage, "", err)
}

// retry decides whether to make another attempt. An error with a failure class is final, and so is an unknown host.
func (f *File) retry(ctx context.Context, res *http.Response, err error) (bool, error) {
	var dns *net.DNSError
	if c := failure.ClassOf(err); c != failure.OK && c != failure.Bug || errors.As(err, &dns) && dns.IsNotFound {
		return false, err
	}
	again, cause := retryablehttp.ErrorPropagatedRetryPolicy(ctx, res, err)
	if again {
		err = cmp.Or(err, cause, errors.New("the server is busy"))
		f.Log.Warn("download interrupted, retrying", "error", err.Error(), "bytes", f.size)
	}
	return again, err
}
