package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"vapo/lib/cachekey"
	"vapo/lib/objectstore"
)

// maxPart is the largest size of a part, in bytes. Parts are read into memory, and a shared store may contain any
// object.
const maxPart = 256 << 20

func partKey(key string) (string, error) {
	if !cachekey.ValidKey(key) {
		return "", fmt.Errorf("%q is not the key of a part", key)
	}
	return "parts/" + key[:2] + "/" + key, nil
}

// SavePart stores a part: an intermediate value that depends only on what enters its key, so other actions can reuse
// it. For example, a score of 50,000 samples reuses the features that an earlier score of 10,000 samples computed.
// Saving a part again stores the same value.
func (s *Store) SavePart(ctx context.Context, key string, value []byte) error {
	name, err := partKey(key)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(value)
	return s.put(ctx, name, value, objectstore.PutOptions{SHA256: hex.EncodeToString(sum[:])})
}

// Part reads a part. It fails with ErrNotFound, or with ErrCorrupt if the part is damaged. Saving a damaged part again
// replaces it.
func (s *Store) Part(ctx context.Context, key string) ([]byte, error) {
	name, err := partKey(key)
	if err != nil {
		return nil, err
	}
	r, err := s.openVerified(ctx, name, "")
	if err != nil {
		return nil, err
	}
	defer r.Close()
	value, err := io.ReadAll(io.LimitReader(r, maxPart+1))
	if len(value) > maxPart {
		return nil, s.corrupt(name, "", "it is longer than %d bytes", maxPart)
	}
	return value, err
}
