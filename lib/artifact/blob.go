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

	"vapo/lib/objectstore"
)

func blobKey(d Digest) (string, error) {
	if _, err := ParseDigest(string(d)); err != nil {
		return "", err
	}
	hex := d.Hex()
	return "blobs/sha256/" + hex[:2] + "/" + hex, nil
}

const hintCorruptBlob = "move damaged blobs aside with pipeline store check --deep --repair, then run again to make them again"

// PutFile stores the content of a file and returns its digest and size. If the store has that blob, PutFile reads it back
// instead of sending it again, and replaces it if it is damaged. If the file changes while it is being stored, nothing is
// stored and the error matches objectstore.ErrContent.
func (s *Store) PutFile(ctx context.Context, path string) (Digest, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return "", 0, fmt.Errorf("digest %s: %w", path, err)
	}
	d := SumDigest(sum.Sum(nil))
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", 0, fmt.Errorf("digest %s: %w", path, err)
	}
	if err := s.putBlob(ctx, d, f, size); err != nil {
		return "", 0, fmt.Errorf("store %s: %w", path, err)
	}
	return d, size, nil
}

// Put stores what r holds and returns its digest and size. The content passes
// through a temporary file: its name has to be known before it is sent.
func (s *Store) Put(ctx context.Context, r io.Reader) (Digest, int64, error) {
	f, d, size, err := s.spool(r)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	if err := s.putBlob(ctx, d, f, size); err != nil {
		return "", 0, err
	}
	return d, size, nil
}

func (s *Store) putBlob(ctx context.Context, d Digest, r io.Reader, size int64) error {
	key, err := blobKey(d)
	if err != nil {
		return err
	}
	opt := objectstore.PutOptions{IfAbsent: true, SHA256: d.Hex()}
	have, err := s.objects.Head(ctx, key)
	if err == nil {
		if have.Size == size {
			err = s.Verify(ctx, d)
		}
		switch {
		case err == nil && have.Size == size:
			return nil
		case err == nil, errors.Is(err, ErrCorrupt): // replace the damaged blob, but only that one
			opt = objectstore.PutOptions{IfMatch: have.ETag, SHA256: d.Hex()}
			err = nil
		}
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	_, err = s.objects.Put(ctx, key, r, size, opt)
	if errors.Is(err, objectstore.ErrExists) {
		return nil // another writer of the same content was faster
	}
	return err
}

// spool copies r to a temporary file, which is gone once it is closed.
func (s *Store) spool(r io.Reader) (io.ReadSeekCloser, Digest, int64, error) {
	f, err := os.CreateTemp(s.tempDir, "vapo-*")
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

// Open reads a blob. The reader's end is reported only if everything read has
// the digest; otherwise Read fails with ErrCorrupt in its place. So a caller
// that stops before io.EOF has verified nothing.
func (s *Store) Open(ctx context.Context, d Digest) (io.ReadCloser, error) {
	key, err := blobKey(d)
	if err != nil {
		return nil, err
	}
	return s.openVerified(ctx, key, d)
}

// openVerified opens an object whose digest is d, or, if d is empty, the one
// it was stored with.
func (s *Store) openVerified(ctx context.Context, key string, d Digest) (io.ReadCloser, error) {
	body, info, err := s.objects.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	hint := hintCorruptBlob
	if d == "" {
		hint = "delete that object; what was in progress starts again"
		if d, err = ParseDigest(digestPrefix + info.SHA256); err != nil {
			body.Close()
			return nil, s.corrupt(key, hint, "it has no digest")
		}
	}
	return &verifier{s: s, key: key, hint: hint, want: d, body: body, sum: sha256.New()}, nil
}

type verifier struct {
	s         *Store
	key, hint string
	want      Digest
	body      io.ReadCloser
	sum       hash.Hash
	bad       error // sticky
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

// Close reports a mismatch that was seen, so that a caller who only checks
// Close learns of it too.
func (v *verifier) Close() error {
	return errors.Join(v.bad, v.body.Close())
}

// Verify reads a blob to its end and fails with ErrCorrupt or ErrNotFound.
func (s *Store) Verify(ctx context.Context, d Digest) error {
	r, err := s.Open(ctx, d)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

// Fetch writes a blob to a file, which appears only when it is complete and
// verified, in place of any older one.
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

// Has reports whether a blob is there, and its size. It does not read it.
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
