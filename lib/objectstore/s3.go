package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// s3Store is a Store in a bucket, or under a prefix in it.
type s3Store struct {
	core     *minio.Core
	endpoint *url.URL
	bucket   string
	prefix   string // empty, or ends with a slash
	name     string // the result of String
	keysFrom string // see Config.keysFrom
	away     string // hint for a store that does not answer; empty for the usual hint
	outage   outage
}

// Open connects to a store and makes one request, so that an unreachable server, wrong credentials or a missing bucket
// are reported before any work is done. Unless cfg.WaitAtOpen is set, Open reports an unavailable store after a few
// seconds, because the usual cause is a wrong setting. Later operations wait for the store. Open does not check that
// the store is writable: see [Probe].
func Open(ctx context.Context, cfg Config) (Store, error) {
	s, err := newStore(cfg)
	if err != nil {
		return nil, err
	}
	if cfg.WaitAtOpen {
		s.outage.patience = cfg.Patience
	}
	err = s.retry(ctx, "open", "", false, func(attempt int) error {
		err := s.any(ctx)
		if attempt == 0 && err != nil {
			if wrong := s.otherScheme(ctx, err); wrong != nil {
				return wrong
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	s.outage.patience = cfg.Patience
	return s, nil
}

// any asks for one object, whichever it is. It sends a list request instead of HEAD: the response to HEAD has no body,
// so it could not tell a wrong access key from a wrong secret or a policy.
func (s *s3Store) any(ctx context.Context) error {
	for obj := range s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix, MaxKeys: 1}) {
		return obj.Err
	}
	return ctx.Err()
}

// CreateBucket creates the bucket of cfg if it does not exist.
func CreateBucket(ctx context.Context, cfg Config) error {
	s, err := newStore(cfg)
	if err != nil {
		return err
	}
	return s.retry(ctx, "create bucket", "", true, func(int) error {
		err := s.core.MakeBucket(ctx, s.bucket, minio.MakeBucketOptions{Region: cfg.Region})
		switch minio.ToErrorResponse(err).Code {
		case "BucketAlreadyOwnedByYou", "BucketAlreadyExists":
			return nil
		}
		return err
	})
}

func newStore(cfg Config) (*s3Store, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	u, err := cfg.endpoint()
	if err != nil {
		return nil, err
	}
	secure := u.Scheme == "https"
	transport, err := newTransport(&cfg, u)
	if err != nil {
		return nil, err
	}
	core, err := minio.NewCore(u.Host, &minio.Options{
		Creds:     credentials.NewStaticV4(cfg.AccessKey, cfg.SecretKey, cfg.SessionToken),
		Secure:    secure,
		Region:    cfg.Region,
		Transport: transport,
		// minio-go must not retry, because this package does. Only code that sees every attempt can tell whether a condition
		// was violated by its own first attempt or by another writer.
		MaxRetries: 1,
		// Trailing checksums are off: some servers refuse them and others corrupt the content. The digest of the content is
		// signed instead.
		TrailingHeaders: false,
	})
	if err != nil {
		return nil, errEndpoint // minio-go's error quotes the host
	}
	core.SetAppInfo("vapo", "1")
	s := &s3Store{core: core, endpoint: u, bucket: cfg.Bucket, name: cfg.String(), keysFrom: cfg.keysFrom,
		outage: outage{notify: cfg.Notify}}
	if cfg.Prefix != "" {
		s.prefix = cfg.Prefix + "/"
	}
	if dir, ok := cfg.embedded(u); ok {
		s.away = "the gateway of the embedded store does not answer; see " + filepath.Join(dir, "gateway.log")
	}
	return s, nil
}

func (s *s3Store) String() string { return s.name }

// checkKey refuses keys that some stores cannot hold or would change.
func checkKey(key string) error {
	if key == "" || len(key) > 900 || !utf8.ValidString(key) {
		return fmt.Errorf("key %q is empty, too long or not UTF-8", key)
	}
	for elem := range strings.SplitSeq(key, "/") {
		if elem == "" || elem == "." || elem == ".." || len(elem) > 255 || strings.ContainsAny(elem, "\x00\\") {
			return fmt.Errorf("key %q has an element that cannot be a file name", key)
		}
	}
	return nil
}

func (s *s3Store) object(op, key string) (string, error) {
	if err := checkKey(key); err != nil {
		return "", &Error{Op: op, Key: key, Store: s.name, Err: err}
	}
	return s.prefix + key, nil
}

func (s *s3Store) info(key string, obj minio.ObjectInfo) Info {
	return Info{
		Key: key, Size: obj.Size, ETag: strings.Trim(obj.ETag, `"`),
		ModTime: obj.LastModified, SHA256: obj.UserMetadata[sha256Header],
	}
}

func (s *s3Store) Head(ctx context.Context, key string) (Info, error) {
	obj, err := s.head(ctx, "head", key)
	if err != nil {
		return Info{}, err
	}
	return s.info(key, obj), nil
}

func (s *s3Store) head(ctx context.Context, op, key string) (obj minio.ObjectInfo, err error) {
	name, err := s.object(op, key)
	if err != nil {
		return obj, err
	}
	err = s.retry(ctx, op, key, false, func(int) (err error) {
		obj, err = s.core.StatObject(ctx, s.bucket, name, minio.StatObjectOptions{})
		return err
	})
	return obj, err
}

func (s *s3Store) Get(ctx context.Context, key string) (io.ReadCloser, Info, error) {
	body, info, err := s.open(ctx, key, "")
	if err != nil {
		return nil, Info{}, err
	}
	return &reader{ctx: ctx, s: s, key: key, etag: info.ETag, end: info.Size, body: body}, info, nil
}

func (s *s3Store) GetRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if off < 0 {
		return nil, &Error{Op: "get", Key: key, Store: s.name, Kind: ErrRange, Err: fmt.Errorf("offset %d", off)}
	}
	if n == 0 {
		return io.NopCloser(strings.NewReader("")), nil
	}
	span := fmt.Sprintf("bytes=%d-", off)
	if n > 0 {
		span += fmt.Sprint(off + n - 1)
	}
	body, info, err := s.open(ctx, key, span)
	if err != nil {
		return nil, err
	}
	return &reader{ctx: ctx, s: s, key: key, etag: info.ETag, off: off, end: off + info.Size, body: body}, nil
}

// open requests an object, or only the byte range in span if span is set.
func (s *s3Store) open(ctx context.Context, key, span string) (body io.ReadCloser, info Info, err error) {
	err = s.retry(ctx, "get", key, false, func(int) (err error) {
		body, info, err = s.request(ctx, key, span, "")
		return err
	})
	return body, info, err
}

// request is one attempt of open. If etag is set, it accepts only that version.
func (s *s3Store) request(ctx context.Context, key, span, etag string) (io.ReadCloser, Info, error) {
	name, err := s.object("get", key)
	if err != nil {
		return nil, Info{}, err
	}
	var opts minio.GetObjectOptions
	if span != "" {
		opts.Set("Range", span)
	}
	if etag != "" {
		if err := opts.SetMatchETag(etag); err != nil {
			return nil, Info{}, &Error{Op: "get", Key: key, Store: s.name, Err: err}
		}
	}
	body, obj, header, err := s.core.GetObject(ctx, s.bucket, name, opts)
	info := s.info(key, obj)
	info.Date, _ = http.ParseTime(header.Get("Date"))
	return body, info, err
}

// reader is a download that resumes after a broken connection.
type reader struct {
	ctx      context.Context
	s        *s3Store
	key      string
	etag     string
	off, end int64
	body     io.ReadCloser
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.read(p)
	switch {
	case err == nil, errors.Is(err, io.EOF) && r.off >= r.end:
		return n, err
	case n > 0:
		return n, nil // the next Read gets the error again
	}
	// Every byte received resets the count of retries, so a long download survives any number of breaks.
	err = r.s.retry(r.ctx, "get", r.key, false, func(int) error {
		resumed, _, err := r.s.request(r.ctx, r.key, fmt.Sprintf("bytes=%d-%d", r.off, r.end-1), r.etag)
		if err != nil {
			return err
		}
		r.body.Close()
		r.body = resumed
		if n, err = r.read(p); n > 0 {
			return nil
		}
		return err
	})
	return n, err
}

func (r *reader) read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.off += int64(n)
	return n, err
}

func (r *reader) Close() error { return r.body.Close() }

func (s *s3Store) Delete(ctx context.Context, key string) error {
	name, err := s.object("delete", key)
	if err != nil {
		return err
	}
	err = s.retry(ctx, "delete", key, true, func(int) error {
		return s.core.RemoveObject(ctx, s.bucket, name, minio.RemoveObjectOptions{})
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

func (s *s3Store) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		last, stopped := "", false
		list := func() (broken bool, err error) {
			listing, cancel := context.WithCancel(ctx)
			defer cancel()
			opts := minio.ListObjectsOptions{
				Prefix: s.prefix + prefix, Recursive: true, StartAfter: last,
				FetchOwner: new(bool), // no owners: some servers would look up the owner of every object
			}
			began := last
			for obj := range s.core.ListObjectsIter(listing, s.bucket, opts) {
				if obj.Err != nil {
					if last != began {
						return true, nil // resume with fresh attempts, because there was progress
					}
					return false, obj.Err
				}
				last = obj.Key
				if strings.HasSuffix(obj.Key, "/") {
					continue // a directory marker that another program created
				}
				if !yield(s.info(strings.TrimPrefix(obj.Key, s.prefix), obj), nil) {
					stopped = true
					return false, nil
				}
			}
			return false, ctx.Err()
		}
		var err error
		for broken := true; broken && err == nil; {
			err = s.retry(ctx, "list", prefix, false, func(int) (err error) {
				broken, err = list()
				return err
			})
		}
		if err != nil && !stopped {
			yield(Info{}, err)
		}
	}
}
