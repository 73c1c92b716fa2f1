package objectstore

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"vapo/lib/failure"
)

const (
	// partBytes is the size of the largest object that is sent in one request, and the part size of larger objects. A part
	// is held in memory so that it can be sent again. S3 requires at least 5 MiB.
	partBytes = 16 << 20
	// maxParts is S3's limit on the number of parts. Objects that would exceed it get larger parts.
	maxParts = 10000
	// partsInFlight is the number of parts that one upload holds in memory.
	partsInFlight = 3

	// Metadata keys: the nonce of the writer, and the digest of the content.
	nonceHeader  = "Vapo-Nonce"
	sha256Header = "Vapo-Sha256"
)

func (s *s3Store) Put(ctx context.Context, key string, r io.Reader, size int64, opt PutOptions) (Info, error) {
	name, err := s.object("put", key)
	if err != nil {
		return Info{}, err
	}
	if opt.IfAbsent && opt.IfMatch != "" {
		return Info{}, s.putError(key, errors.New("IfAbsent and IfMatch cannot be combined"))
	}
	u := &upload{s: s, ctx: ctx, key: key, name: name, opt: opt, nonce: rand.Text()}
	src := newSource(r, size, opt.SHA256)
	first, last, err := src.next()
	if err != nil {
		return Info{}, s.putError(key, err)
	}
	if last {
		return u.single(first)
	}
	return u.parts(first, src)
}

func (s *s3Store) putError(key string, err error) error {
	e := &Error{Op: "put", Key: key, Store: s.name, Err: err}
	if errors.Is(err, ErrContent) {
		e.Hint = "the data changed while it was stored; store it again"
	}
	return e
}

// upload is the state of one call to Put.
type upload struct {
	s         *s3Store
	ctx       context.Context
	key, name string
	opt       PutOptions
	nonce     string
}

// meta returns the metadata that the store keeps with the object.
func (u *upload) meta() map[string]string {
	meta := map[string]string{nonceHeader: u.nonce}
	if u.opt.SHA256 != "" {
		meta[sha256Header] = strings.ToLower(u.opt.SHA256)
	}
	return meta
}

// options returns the request options: the given metadata and the condition.
func (u *upload) options(meta map[string]string) minio.PutObjectOptions {
	// Without DisableContentSha256, minio-go signs a plain-HTTP body in chunks and ignores the given digest.
	opts := minio.PutObjectOptions{UserMetadata: meta, DisableContentSha256: true}
	if u.opt.IfAbsent {
		opts.SetMatchETagExcept("*")
	}
	if u.opt.IfMatch != "" {
		opts.SetMatchETag(u.opt.IfMatch)
	}
	return opts
}

// commit sends the request that creates the object. An attempt may succeed although its response is lost; a later
// attempt then finds the condition violated. The nonce stored with the object shows whether this upload created it.
func (u *upload) commit(send func() (minio.UploadInfo, error)) (Info, error) {
	var (
		info      Info
		ambiguous bool
	)
	err := u.s.retry(u.ctx, "put", u.key, true, func(int) error {
		up, err := send()
		if err == nil {
			info = Info{Key: u.key, ETag: strings.Trim(up.ETag, `"`)}
			return nil
		}
		v := judge(u.ctx, err, true)
		conditional := u.opt.IfAbsent || u.opt.IfMatch != ""
		failed := v.kind == ErrExists || v.kind == ErrNotFound
		// A server that refuses a large body may close the connection early, and its response may get lost. The object then
		// shows whether the condition was violated.
		if failed && ambiguous || conditional && v.kind == ErrUnreachable && v.ambiguous {
			obj, err := u.s.head(u.ctx, "put", u.key)
			switch {
			case err == nil && obj.UserMetadata[nonceHeader] == u.nonce:
				info = u.s.info(u.key, obj)
				return nil
			case err == nil && (u.opt.IfAbsent || strings.Trim(obj.ETag, `"`) != u.opt.IfMatch):
				return &Error{Op: "put", Key: u.key, Store: u.s.name, Kind: ErrExists}
			case err != nil && !errors.Is(err, ErrNotFound):
				return err
			}
		}
		ambiguous = ambiguous || v.ambiguous
		if v.kind == ErrNotFound && u.opt.IfMatch != "" && minio.ToErrorResponse(err).Code != "NoSuchUpload" {
			return &Error{Op: "put", Key: u.key, Store: u.s.name, Kind: ErrExists}
		}
		return err
	})
	return info, err
}

// single sends an object in one request. The signature covers the digest, so the server refuses a body that was changed
// in transit.
func (u *upload) single(data []byte) (Info, error) {
	sum := sha256.Sum256(data)
	meta := u.meta()
	meta["x-amz-checksum-sha256"] = base64.StdEncoding.EncodeToString(sum[:])
	opts := u.options(meta)
	info, err := u.commit(func() (minio.UploadInfo, error) {
		return u.s.core.PutObject(u.ctx, u.s.bucket, u.name, bytes.NewReader(data), int64(len(data)),
			"", hex.EncodeToString(sum[:]), opts)
	})
	if err != nil {
		return Info{}, err
	}
	info.Size = int64(len(data))
	return info, nil
}

// parts uploads an object in parts. The request that joins the parts creates the object, and only this request has the
// condition. A failed upload is aborted.
func (u *upload) parts(part []byte, src *source) (Info, error) {
	s := u.s
	if u.opt.IfAbsent {
		// This check only avoids a useless transfer. The condition itself is checked when the parts are joined.
		if _, err := s.head(u.ctx, "put", u.key); err == nil {
			return Info{}, &Error{Op: "put", Key: u.key, Store: s.name, Kind: ErrExists}
		}
	}
	var id string
	err := s.retry(u.ctx, "put", u.key, true, func(int) (err error) {
		id, err = s.core.NewMultipartUpload(u.ctx, s.bucket, u.name, minio.PutObjectOptions{UserMetadata: u.meta()})
		return err
	})
	if err != nil {
		return Info{}, err
	}
	info, err := u.sendAndJoin(id, part, src)
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), 10*time.Second)
		defer cancel()
		// The error of the abort is ignored: parts that remain only take space, and the first error is the one to report.
		_ = s.core.AbortMultipartUpload(ctx, s.bucket, u.name, id)
		return Info{}, err
	}
	info.Size = src.total
	return info, nil
}

func (u *upload) sendAndJoin(id string, part []byte, src *source) (Info, error) {
	var (
		mu    sync.Mutex
		etags []minio.CompletePart
	)
	group, ctx := errgroup.WithContext(u.ctx)
	group.SetLimit(partsInFlight - 1) // the other part in flight is the one being read
	for number, last := 1, false; ; number++ {
		mu.Lock()
		etags = append(etags, minio.CompletePart{PartNumber: number})
		mu.Unlock()
		data := part
		group.Go(func() error {
			etag, err := u.sendPart(ctx, id, number, data)
			mu.Lock()
			etags[number-1].ETag = etag
			mu.Unlock()
			return err
		})
		if last || ctx.Err() != nil {
			break
		}
		var err error
		if part, last, err = src.next(); err != nil {
			if sendErr := group.Wait(); sendErr != nil && !errors.Is(sendErr, context.Canceled) {
				return Info{}, sendErr
			}
			return Info{}, u.s.putError(u.key, err)
		}
	}
	if err := group.Wait(); err != nil {
		return Info{}, err
	}
	return u.commit(func() (minio.UploadInfo, error) {
		return u.s.core.CompleteMultipartUpload(u.ctx, u.s.bucket, u.name, id, etags, u.options(nil))
	})
}

func (u *upload) sendPart(ctx context.Context, id string, number int, data []byte) (etag string, err error) {
	sum := sha256.Sum256(data)
	opts := minio.PutObjectPartOptions{Sha256Hex: hex.EncodeToString(sum[:]), DisableContentSha256: true}
	err = u.s.retry(ctx, "put", u.key, true, func(int) error {
		body := bytes.NewReader(data)
		done, err := u.s.core.PutObjectPart(ctx, u.s.bucket, u.name, id, number, body, int64(len(data)), opts)
		etag = done.ETag
		return err
	})
	return etag, err
}

// source splits a stream into parts and checks it against the announced size and digest.
type source struct {
	r     *bufio.Reader
	part  int64
	size  int64 // announced; negative if unknown
	total int64 // read so far
	want  string
	sum   hash.Hash
}

func newSource(r io.Reader, size int64, sha256Hex string) *source {
	s := &source{r: bufio.NewReader(r), part: partBytes, size: size, want: strings.ToLower(sha256Hex), sum: sha256.New()}
	if least := (size + maxParts - 1) / maxParts; least > s.part {
		s.part = least
	}
	return s
}

// next returns the next part and whether it is the last one. An empty stream yields one empty part.
func (s *source) next() (part []byte, last bool, err error) {
	var buf bytes.Buffer
	if s.size >= 0 {
		buf.Grow(int(min(s.part, s.size-s.total)) + bytes.MinRead)
	}
	n, err := io.CopyN(&buf, s.r, s.part)
	s.total += n
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, unreadable(err)
	}
	if _, err := s.r.Peek(1); errors.Is(err, io.EOF) {
		last = true
	} else if err != nil {
		return nil, false, unreadable(err)
	}
	if s.size >= 0 && (s.total > s.size || last && s.total < s.size || !last && s.total == s.size) {
		return nil, false, fmt.Errorf("%w: %d bytes announced, %s", ErrContent, s.size, s.found(last))
	}
	if s.want != "" {
		s.sum.Write(buf.Bytes())
		if got := hex.EncodeToString(s.sum.Sum(nil)); last && got != s.want {
			return nil, false, fmt.Errorf("%w: sha256 %s announced, %s found", ErrContent, s.want, got)
		}
	}
	return buf.Bytes(), last, nil
}

// unreadable returns the error for a stream that cannot be read, which is no failure of the store.
func unreadable(err error) error {
	return failure.Default(failure.Input, "", fmt.Errorf("read the data to store: %w", err))
}

func (s *source) found(last bool) string {
	if last {
		return fmt.Sprintf("%d found", s.total)
	}
	return fmt.Sprintf("at least %d found", s.total+1)
}
