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

// Blob gives random access to a blob through range requests. Its methods may be called from several goroutines.
//
// A digest covers only the whole content. So OpenAt reads the blob once and keeps the state of SHA-256 after every
// chunk. ReadAt later reads whole chunks, and each chunk must lead from the state before it to the state after it. This
// check is as strong as the digest: a different chunk that passed it would give a different blob with the same digest.
// The cost is one pass over the blob, like fetching it, and at most 7 MB of memory.
//
// Note: two alternatives were rejected. Digests of chunks could be stored with the blob, which would save the pass; but
// the reader would have to trust them, or every record would need a second digest. A separate digest of each chunk
// could be computed during the pass; but that would hash everything twice.
type Blob struct {
	ctx    context.Context
	s      *Store
	key    string
	size   int64
	chunk  int64
	states []byte // the states after all chunks, stateBytes each
}

const (
	// minChunk is the smallest chunk size in bytes. It is smaller than typical ranges, so that little extra is read, and
	// much larger than a state.
	minChunk  = 64 << 10
	maxChunks = 1 << 16
)

// stateBytes is the length of an encoded SHA-256 state.
var stateBytes = len(appendState(nil, sha256.New()))

// appendState appends the encoded state of a SHA-256 hash to b. The encoding may change between Go versions, so it is
// compared and restored but never stored.
func appendState(b []byte, h hash.Hash) []byte {
	b, err := h.(encoding.BinaryAppender).AppendBinary(b)
	if err != nil {
		panic(fmt.Sprintf("artifact: state of sha256: %v", err)) // the standard library supports it
	}
	return b
}

// OpenAt verifies a blob by reading it once, and opens it for random access. ReadAt verifies every byte again. Reads
// stop when ctx ends. OpenAt fails with ErrCorrupt or ErrNotFound.
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

// ReadAt implements io.ReaderAt. It reads all chunks that contain the range in one request. It fails with ErrCorrupt if
// the store returns bytes other than those that OpenAt verified.
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
		if !b.verify(c, to) {
			err := b.s.corrupt(b.key, hintCorruptBlob, "its bytes %d to %d have changed", begin, end)
			return int(max(0, begin-off)), err
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

// verify reports whether content leads from the state before chunk c to the state after it.
func (b *Blob) verify(c int64, content []byte) bool {
	sum := sha256.New()
	at := int(c) * stateBytes
	if c > 0 {
		if err := sum.(encoding.BinaryUnmarshaler).UnmarshalBinary(b.states[at-stateBytes : at]); err != nil {
			panic(fmt.Sprintf("artifact: state of sha256: %v", err)) // AppendBinary returned this state, so it is valid
		}
	}
	sum.Write(content)
	return bytes.Equal(appendState(nil, sum), b.states[at:at+stateBytes])
}
