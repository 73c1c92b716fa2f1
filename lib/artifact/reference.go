package artifact

import (
	"context"
	"errors"
	"strings"

	"vapo/lib/failure"
)

const refPrefix = "ref:"

// IsReference reports whether text has the form of a reference to a blob of a store: sha256:… or ref:NAME.
func IsReference(text string) bool {
	return strings.HasPrefix(text, refPrefix) || strings.HasPrefix(text, digestPrefix)
}

// Resolve returns the digest and the size of the blob that a reference stands for.
func (s *Store) Resolve(ctx context.Context, reference string) (Digest, int64, error) {
	digest := Digest(reference)
	if name, ok := strings.CutPrefix(reference, refPrefix); ok {
		var err error
		digest, err = s.Ref(ctx, name)
		if errors.Is(err, ErrNotFound) {
			return "", 0, failure.New(failure.Input, "pipeline ls refs lists them", "the store has no ref %s", name)
		}
		if err != nil {
			return "", 0, failure.Default(failure.Usage, "", err) // the name is malformed
		}
	} else if _, err := ParseDigest(reference); err != nil {
		return "", 0, failure.New(failure.Usage, "", "%w", err)
	}
	size, ok, err := s.Has(ctx, digest)
	if err == nil && !ok {
		err = failure.New(failure.Input, "", "the store has no blob %s", digest)
	}
	return digest, size, err
}
