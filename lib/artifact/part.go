package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"vapo/lib/cachekey"
	"vapo/lib/objectstore"
)

func partKey(key string) (string, error) {
	if !cachekey.ValidKey(key) {
		return "", fmt.Errorf("%q is not the key of a part", key)
	}
	return "parts/" + key[:2] + "/" + key, nil
}

// SavePart stores a part: a value computed on the way to an artifact that is a pure function of what its key digests, and
// so is of use to other actions too. The features of a shard of images are one: a score of 50,000 samples takes those of
// the first 10,000 from an earlier score. Whoever saves a part again saves the same.
func (s *Store) SavePart(ctx context.Context, key string, value []byte) error {
	name, err := partKey(key)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(value)
	_, err = s.objects.Put(ctx, name, bytes.NewReader(value), int64(len(value)), objectstore.PutOptions{SHA256: hex.EncodeToString(sum[:])})
	return err
}

// Part reads a part, or fails with ErrNotFound. A damaged one fails with ErrCorrupt; saving it anew replaces it.
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
	return io.ReadAll(r)
}
