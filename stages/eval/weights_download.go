package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/gofrs/flock"

	"vapo/lib/failure"
	"vapo/lib/program"
)

// maxFutile is how many tries in a row may get no further before a download is given up.
const maxFutile = 6

// maxSilence is how long a server may send nothing.
const maxSilence = time.Minute

// download gets a file over HTTP in as many tries as it takes, of this process or later ones: what has come is kept in part,
// and the server's name for its version beside it, without which the rest might be that of another file.
type download struct {
	url      string
	part     string
	limit    int64
	pause    time.Duration // before the first of several tries
	silence  time.Duration // that ends a try
	log      *slog.Logger
	progress func(done, total int64) // in bytes; total is -1 where it is not known
}

// lock keeps two processes from writing to one file. The lock ends with the process.
func (d *download) lock() (unlock func(), err error) {
	l := flock.New(d.part, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o644))
	ok, err := l.TryLock()
	if err != nil {
		return nil, failure.New(failure.Usage, "name a file that can be written by --out", "%w", err)
	}
	if !ok {
		return nil, failure.New(failure.Usage, "wait for it, or name another file by --out", "another process is downloading to %s", d.part)
	}
	return func() { _ = l.Close() }, nil // it goes with the process anyhow
}

// version is the file beside part that keeps the server's validator.
func (d *download) version() string { return d.part + ".etag" }

// get downloads until part is complete.
func (d *download) get(ctx context.Context) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.Multiplier, wait.MaxInterval = d.pause, 2, 30*d.pause
	futile, most := 0, int64(0)
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		at, err := d.try(ctx)
		if at > most { // or a server that knows no ranges and breaks off would be asked for ever
			futile, most = 0, at
			wait.Reset()
		} else {
			futile++
		}
		var permanent *backoff.PermanentError
		if err == nil || errors.As(err, &permanent) {
			return struct{}{}, err
		}
		if ctx.Err() != nil {
			return struct{}{}, backoff.Permanent(context.Cause(ctx))
		}
		var unknown *net.DNSError
		if most == 0 && errors.As(err, &unknown) && unknown.IsNotFound {
			return struct{}{}, backoff.Permanent(failure.New(failure.Input, offline, "%s: %w", d.url, err)) // an offline machine, or a slip of the pen
		}
		if futile >= maxFutile {
			return struct{}{}, backoff.Permanent(failure.New(failure.Input, offline, "%s: %d tries got no further, the last: %w", d.url, futile, err))
		}
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, after time.Duration) {
		d.log.Warn("a try to download failed; going on", "error", err.Error(), "after_s", after.Seconds())
	}))
	return err
}

const offline = "without a way to that server: set HTTPS_PROXY or --url, or download the file elsewhere and use eval weights import FILE"

// try makes one request and returns how many bytes of the file there were at its end. An error that trying again cannot mend is permanent.
func (d *download) try(ctx context.Context) (at int64, err error) {
	f, err := os.OpenFile(d.part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return 0, backoff.Permanent(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, backoff.Permanent(err)
	}
	have := info.Size()
	version, err := os.ReadFile(d.version())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, backoff.Permanent(err)
	}
	if len(version) == 0 || have > d.limit {
		have = 0 // of what version the bytes are nobody knows
	}

	// A server that goes silent is left, or the download would stand for ever.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(d.silence, func() { cancel(fmt.Errorf("nothing came for %v", d.silence)) })
	defer silence.Stop()
	res, err := d.request(ctx, have, string(version))
	if err != nil {
		return 0, causeOf(ctx, err)
	}
	defer res.Body.Close()
	if have, err = d.start(res, f, have); err != nil || have < 0 {
		return 0, err
	}
	total := int64(-1)
	if res.ContentLength >= 0 {
		total = have + res.ContentLength
	}
	if total > d.limit {
		return 0, backoff.Permanent(d.tooLarge(total))
	}
	d.progress(have, total)
	got, err := d.copy(ctx, f, res.Body, have, total, silence)
	return have + got, err
}

// request asks for the file from byte have on, if it still is of the given version, and else for all of it.
func (d *download) request(ctx context.Context, have int64, version string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	req.Header.Set("User-Agent", "vapo-eval")
	req.Header.Set("Accept-Encoding", "identity") // the bytes as they are, which ranges count
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		req.Header.Set("If-Range", version)
	}
	res, err := http.DefaultClient.Do(req) // which honours HTTPS_PROXY
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // the address is named where the error is told
	}
	return res, err
}

// start looks at the answer to a request for the bytes from have on and returns from where the body goes on, with the file
// there; -1 if the file is complete already.
func (d *download) start(res *http.Response, f *os.File, have int64) (int64, error) {
	switch res.StatusCode {
	case http.StatusPartialContent:
		from, _, ok := contentRange(res.Header.Get("Content-Range"))
		if have == 0 || !ok || from != have {
			if err := d.forget(f); err != nil {
				return 0, backoff.Permanent(err)
			}
			return 0, fmt.Errorf("asked for the bytes from %d on, it sent %.80q", have, res.Header.Get("Content-Range"))
		}
		_, err := f.Seek(have, io.SeekStart)
		return have, permanent(err)
	case http.StatusOK: // the whole file: no part was asked for, the server knows no parts, or it has another version now
		if have > 0 {
			d.log.Info("the server sends the file from its beginning", "had", have)
		}
		if err := d.forget(f); err != nil {
			return 0, backoff.Permanent(err)
		}
		if v := validator(res.Header); v != "" {
			return 0, permanent(program.WriteFile(d.version(), func(w io.Writer) error { _, err := io.WriteString(w, v); return err }))
		}
		return 0, nil
	case http.StatusRequestedRangeNotSatisfiable:
		if _, total, ok := contentRange(res.Header.Get("Content-Range")); ok && total == have && have > 0 {
			return -1, nil
		}
		if err := d.forget(f); err != nil {
			return 0, backoff.Permanent(err)
		}
		return 0, errors.New("the server has fewer bytes than had come")
	}
	err := fmt.Errorf("the server answers %s", res.Status)
	if s := res.StatusCode; s >= 500 || s == http.StatusRequestTimeout || s == http.StatusTooEarly || s == http.StatusTooManyRequests {
		return 0, err
	}
	return 0, backoff.Permanent(failure.New(failure.Input, "see whether --url is right; a file that you have is imported by eval weights import FILE",
		"%s: %w", d.url, err))
}

// copy appends the body to the file.
func (d *download) copy(ctx context.Context, f *os.File, body io.Reader, have, total int64, silence *time.Timer) (got int64, err error) {
	buf := make([]byte, 1<<16)
	for {
		n, readErr := body.Read(buf)
		if n > 0 {
			silence.Reset(d.silence)
			if have+got+int64(n) > d.limit {
				return got, backoff.Permanent(d.tooLarge(have + got + int64(n)))
			}
			if _, err := f.Write(buf[:n]); err != nil {
				return got, backoff.Permanent(err)
			}
			got += int64(n)
			d.progress(have+got, total)
		}
		if errors.Is(readErr, io.EOF) {
			return got, permanent(f.Sync())
		}
		if readErr != nil {
			return got, causeOf(ctx, readErr)
		}
	}
}

// tooLarge refuses what cannot be the file, and what has come of it.
func (d *download) tooLarge(size int64) error {
	err := failure.New(failure.Integrity, "see whether --url is right", "%s sends %d bytes or more, expected at most %d", d.url, size, d.limit)
	return errors.Join(err, d.discard())
}

// forget empties the file: what comes next is its beginning.
func (d *download) forget(f *os.File) error {
	if err := os.Remove(d.version()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return f.Truncate(0)
}

// discard removes what has come.
func (d *download) discard() error {
	for _, path := range []string{d.version(), d.part} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// discardEmpty removes the file if nothing has come.
func (d *download) discardEmpty() error {
	if info, err := os.Stat(d.part); err != nil || info.Size() > 0 {
		return nil
	}
	return d.discard()
}

// finish gives the file its name.
func (d *download) finish(path string) error {
	if err := os.Rename(d.part, path); err != nil {
		return err
	}
	if err := os.Remove(d.version()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync() // not everywhere possible; the file is whole in any case
		dir.Close()
	}
	return nil
}

// validator names a version of the file in a way that an If-Range header may: a strong ETag, or a date.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return h.Get("Last-Modified")
}

// contentRange reads "bytes FROM-TO/TOTAL" and "bytes */TOTAL"; total is -1 where it is not known.
func contentRange(s string) (from, total int64, ok bool) {
	s, ok = strings.CutPrefix(s, "bytes ")
	part, all, ok2 := strings.Cut(s, "/")
	if !ok || !ok2 {
		return 0, 0, false
	}
	total, err := strconv.ParseInt(all, 10, 64)
	if err != nil {
		total = -1
	}
	if part == "*" {
		return 0, total, total >= 0
	}
	first, _, _ := strings.Cut(part, "-")
	from, err = strconv.ParseInt(first, 10, 64)
	return from, total, err == nil && from >= 0
}

func permanent(err error) error {
	if err == nil {
		return nil
	}
	return backoff.Permanent(err)
}

// causeOf is why a request ended: the context's cause, if it was that.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}
