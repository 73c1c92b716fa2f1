package artifact

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"vapo/lib/failure"
	"vapo/lib/objectstore"
)

func blobKey(d Digest) (string, error) {
	if _, err := ParseDigest(string(d)); err != nil {
		return "", err
	}
	hex := d.Hex()
	return "blobs/sha256/" + hex[:2] + "/" + hex, nil
}

const hintCorruptBlob = "move damaged blobs aside with pipeline store check --deep --repair, " +
	"then run again to recreate them"

// PutFile stores the content of a file and returns its digest and size. If the blob already exists, PutFile verifies it
// instead of sending the file again. PutFile replaces a blob that is damaged, or so old that a collection may soon
// delete it. If the file changes while PutFile runs, nothing is stored and the error matches objectstore.ErrContent.
//
// sent, unless it is nil, is called with the number of bytes that were read to be sent, and the size of the file.
func (s *Store) PutFile(ctx context.Context, path string, sent func(done, size int64)) (Digest, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, failure.New(failure.Input, "", "%w", err)
	}
	defer f.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return "", 0, failure.New(failure.Input, "", "digest %s: %w", path, err)
	}
	d := SumDigest(sum.Sum(nil))
	if err := s.putBlob(ctx, d, &counted{ReadSeeker: f, size: size, sent: sent}, size); err != nil {
		return "", 0, fmt.Errorf("store %s: %w", path, err)
	}
	return d, size, nil
}

// counted reports how far its reader has been read.
type counted struct {
	io.ReadSeeker
	at, size int64
	sent     func(done, size int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadSeeker.Read(p)
	c.at += int64(n)
	if c.sent != nil && n > 0 {
		c.sent(c.at, c.size)
	}
	return n, err
}

func (c *counted) Seek(offset int64, whence int) (int64, error) {
	at, err := c.ReadSeeker.Seek(offset, whence)
	c.at = at
	return at, err
}

// Put stores the content of r and returns its digest and size. It copies r to a temporary file first, because the name
// of the blob depends on the whole content.
func (s *Store) Put(ctx context.Context, r io.Reader) (Digest, int64, error) {
	f, d, size, err := spool(r)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	if err := s.putBlob(ctx, d, f, size); err != nil {
		return "", 0, err
	}
	return d, size, nil
}

func (s *Store) putBlob(ctx context.Context, d Digest, r io.ReadSeeker, size int64) error {
	key, err := blobKey(d)
	if err != nil {
		return err
	}
	for {
		opt := objectstore.PutOptions{IfAbsent: true, SHA256: d.Hex()}
		have, err := s.objects.Head(ctx, key)
		if err == nil && have.Size == size {
			have, err = s.verify(ctx, d)
		}
		switch {
		case errors.Is(err, ErrNotFound):
		case err == nil && have.Size == size && !aged(have):
			return nil
		case err == nil, errors.Is(err, ErrCorrupt): // replace the damaged or old blob
			opt = objectstore.PutOptions{IfMatch: have.ETag, SHA256: d.Hex()}
		default:
			return err
		}
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return err
		}
		_, err = s.objects.Put(ctx, key, r, size, opt)
		switch {
		case errors.Is(err, objectstore.ErrExists) && opt.IfAbsent:
			return nil // another writer has stored the same content
		case errors.Is(err, objectstore.ErrExists): // another writer has replaced the blob, or a collection has deleted it
			continue
		case err != nil || opt.IfAbsent:
			return err
		}
		if ok, err := s.remains(ctx, key); ok || err != nil {
			return err
		}
	}
}

// spool copies r to a temporary file. Closing the file removes it.
func spool(r io.Reader) (io.ReadSeekCloser, Digest, int64, error) {
	f, err := os.CreateTemp("", "vapo-*")
	if err != nil {
		return nil, "", 0, err
	}
	t := &tempFile{f}
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(f, sum), r)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		t.Close()
		return nil, "", 0, err
	}
	return t, SumDigest(sum.Sum(nil)), size, nil
}

type tempFile struct{ *os.File }

func (t *tempFile) Close() error {
	return errors.Join(t.File.Close(), os.Remove(t.Name()))
}

// Open reads a blob. The reader returns io.EOF only if the content matches the digest, and fails with ErrCorrupt
// otherwise. Before io.EOF, nothing that the caller has read is verified.
func (s *Store) Open(ctx context.Context, d Digest) (io.ReadCloser, error) {
	v, err := s.openBlob(ctx, d)
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (s *Store) openBlob(ctx context.Context, d Digest) (*verifier, error) {
	key, err := blobKey(d)
	if err != nil {
		return nil, err
	}
	return s.openVerified(ctx, key, d)
}

// openVerified opens an object and verifies its content against d. If d is empty, it uses the digest that was stored
// with the object.
func (s *Store) openVerified(ctx context.Context, key string, d Digest) (*verifier, error) {
	body, info, err := s.objects.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	hint := hintCorruptBlob
	if d == "" {
		hint = "delete that object; it is only saved work, which is then done again"
		if d, err = ParseDigest(digestPrefix + info.SHA256); err != nil {
			body.Close()
			return nil, s.corrupt(key, hint, "it has no digest")
		}
	}
	return &verifier{s: s, key: key, info: info, hint: hint, want: d, body: body, sum: sha256.New()}, nil
}

type verifier struct {
	s         *Store
	key, hint string
	info      objectstore.Info
	want      Digest
	body      io.ReadCloser
	sum       hash.Hash
	bad       error // returned by every later Read
}

func (v *verifier) Read(p []byte) (int, error) {
	if v.bad != nil {
		return 0, v.bad
	}
	n, err := v.body.Read(p)
	v.sum.Write(p[:n])
	if errors.Is(err, io.EOF) {
		if got := SumDigest(v.sum.Sum(nil)); got != v.want {
			v.bad = v.s.corrupt(v.key, v.hint, "its content has digest %s, not %s", got, v.want)
			return n, v.bad
		}
	}
	return n, err
}

// Close also returns a mismatch that Read has found, for callers that check only Close.
func (v *verifier) Close() error {
	return errors.Join(v.bad, v.body.Close())
}

// Verify reads a whole blob and checks it. It fails with ErrCorrupt or ErrNotFound.
func (s *Store) Verify(ctx context.Context, d Digest) error {
	_, err := s.verify(ctx, d)
	return err
}

// verify is like Verify and also returns a description of the object.
func (s *Store) verify(ctx context.Context, d Digest) (objectstore.Info, error) {
	r, err := s.openBlob(ctx, d)
	if err != nil {
		return objectstore.Info{}, err
	}
	_, err = io.Copy(io.Discard, r)
	return r.info, errors.Join(err, r.Close())
}

// Fetch writes a blob to a file. The file appears, or replaces an older one, only when the content is complete and
// verified.
func (s *Store) Fetch(ctx context.Context, d Digest, path string) (err error) {
	r, err := s.Open(ctx, d)
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err := io.Copy(f, r); err != nil {
		return fmt.Errorf("fetch %s: %w", d, err)
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Has reports whether a blob exists, and its size in bytes. It does not read the blob.
func (s *Store) Has(ctx context.Context, d Digest) (size int64, ok bool, err error) {
	key, err := blobKey(d)
	if err != nil {
		return 0, false, err
	}
	info, err := s.objects.Head(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return 0, false, nil
	}
	return info.Size, err == nil, err
}
