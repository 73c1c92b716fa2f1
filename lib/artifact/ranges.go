package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Blob is random access to a blob, by requests for ranges of it. Its methods may be called from several goroutines.
//
// A name can be checked against the whole content only, so OpenAt reads the blob once from end to end, and keeps
// the state of sha256 after every chunk. A range is later read in whole chunks, and each must lead sha256 from
// the state before it to the state after it. That is as strong as the name: another chunk that does the same would
// give another blob of the same digest. It costs one pass at the speed of sha256 (or of the store, which is
// slower as a rule), as fetching the blob would, and 7 MB of memory at most; no bytes are kept.
//
// Note: digests of chunks stored beside the blob would save the pass, and would have to be trusted, or hashed to a second
// name that every record then carries. A digest of each chunk taken in the pass would hash everything twice.
type Blob struct {
	ctx    context.Context
	s      *Store
	key    string
	size   int64
	chunk  int64
	states []byte // stateBytes after each chunk
}

const (
	// minChunk is small beside the ranges that are read, so that little is read for nothing, and large beside a state.
	minChunk  = 64 << 10
	maxChunks = 1 << 16
)

// stateBytes is the length of sha256's encoded state.
var stateBytes = len(appendState(nil, sha256.New()))

// appendState appends the state of a sha256 to b. The encoding is opaque; it is compared and restored, never stored.
func appendState(b []byte, h hash.Hash) []byte {
	b, err := h.(encoding.BinaryAppender).AppendBinary(b)
	if err != nil {
		panic(fmt.Sprintf("artifact: state of sha256: %v", err)) // the standard library's has one
	}
	return b
}

// OpenAt verifies a blob by reading it once, and opens it for reading parts of it, in which every byte is verified again.
// Reads end with ctx. Fails with ErrCorrupt or ErrNotFound.
func (s *Store) OpenAt(ctx context.Context, d Digest) (*Blob, error) {
	key, err := blobKey(d)
	if err != nil {
		return nil, err
	}
	body, info, err := s.objects.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b := &Blob{ctx: ctx, s: s, key: key, size: info.Size, chunk: minChunk}
	for (b.size+b.chunk-1)/b.chunk > maxChunks {
		b.chunk *= 2
	}
	sum := sha256.New()
	buf := make([]byte, b.chunk)
	for {
		n, err := io.ReadFull(body, buf)
		if n > 0 {
			sum.Write(buf[:n])
			b.states = appendState(b.states, sum)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if got := SumDigest(sum.Sum(nil)); got != d {
		return nil, s.corrupt(key, hintCorruptBlob, "its content has digest %s, not %s", got, d)
	}
	return b, nil
}

// Size returns the length of the blob in bytes.
func (b *Blob) Size() int64 { return b.size }

// ReadAt implements io.ReaderAt with one request for the chunks that hold the range. It fails with ErrCorrupt where the
// store returns other bytes than OpenAt has verified.
func (b *Blob) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read %s at offset %d", b.key, off)
	}
	n := min(int64(len(p)), b.size-off)
	if n <= 0 {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	first, last := off/b.chunk, (off+n-1)/b.chunk
	begin := first * b.chunk
	body, err := b.s.objects.GetRange(b.ctx, b.key, begin, min((last+1)*b.chunk, b.size)-begin)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	var spare []byte
	for c := first; c <= last; c++ {
		begin, end := c*b.chunk, min((c+1)*b.chunk, b.size)
		whole := begin >= off && end <= off+n
		var to []byte
		if whole {
			to = p[begin-off : end-off]
		} else {
			if spare == nil {
				spare = make([]byte, b.chunk)
			}
			to = spare[:end-begin]
		}
		if _, err := io.ReadFull(body, to); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = b.s.corrupt(b.key, hintCorruptBlob, "it has become shorter than %d bytes", b.size)
			}
			return int(max(0, begin-off)), err
		}
		if !b.sound(c, to) {
			return int(max(0, begin-off)), b.s.corrupt(b.key, hintCorruptBlob, "its bytes %d to %d are no longer what they were", begin, end)
		}
		if !whole {
			copy(p[max(0, begin-off):n], to[max(0, off-begin):])
		}
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// sound says whether content leads sha256 through chunk c.
func (b *Blob) sound(c int64, content []byte) bool {
	sum := sha256.New()
	at := int(c) * stateBytes
	if c > 0 {
		if err := sum.(encoding.BinaryUnmarshaler).UnmarshalBinary(b.states[at-stateBytes : at]); err != nil {
			panic(fmt.Sprintf("artifact: state of sha256: %v", err)) // it is one that was taken from it
		}
	}
	sum.Write(content)
	return bytes.Equal(appendState(nil, sum), b.states[at:at+stateBytes])
}
