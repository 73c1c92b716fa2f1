package artifact

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"vapo/lib/failure"
)

// Reference is the way in which people and recipes refer to an artifact. Exactly one form is set:
//
//	sha256:<64 hex digits>   Digest         a blob, by its content
//	ref:<name>               Name           a blob, by a name in the store
//	<step>.<output>          Step, Output   an output of a step of a recipe or run; the step may be an instance,
//	                                        <step>[<name>=<value>,…]
//	anything else            Path           a local file
//
// A program outside a recipe has no steps. It treats the text <step>.<output>, which String returns, as a file path.
type Reference struct {
	Digest       Digest
	Name         string
	Step, Output string
	Path         string
}

const namePrefix = "ref:"

var stepOutput = regexp.MustCompile(`^([a-z0-9][a-z0-9_-]*(?:\[[A-Za-z0-9_.,=+-]+\])?)\.([A-Za-z0-9_-]+)$`)

// ParseReference returns the reference that text denotes. It fails with class Usage if text begins like a digest or a
// ref but is not a valid one.
func ParseReference(text string) (Reference, error) {
	if strings.HasPrefix(text, digestPrefix) {
		d, err := ParseDigest(text)
		if err != nil {
			err = failure.New(failure.Usage, "a digest is sha256: and 64 lower-case hexadecimal digits", "%w", err)
		}
		return Reference{Digest: d}, err
	}
	if name, ok := strings.CutPrefix(text, namePrefix); ok {
		if err := CheckRef(name); err != nil {
			return Reference{}, failure.New(failure.Usage, "for example ref:best or ref:team/best", "%w", err)
		}
		return Reference{Name: name}, nil
	}
	if m := stepOutput.FindStringSubmatch(text); m != nil {
		return Reference{Step: m[1], Output: m[2]}, nil
	}
	return Reference{Path: text}, nil
}

// String returns the text that ParseReference parses to r.
func (r Reference) String() string {
	switch {
	case r.Digest != "":
		return string(r.Digest)
	case r.Name != "":
		return namePrefix + r.Name
	case r.Step != "":
		return r.Step + "." + r.Output
	}
	return r.Path
}

// Stored reports whether r refers to a blob in the store, by digest or name.
func (r Reference) Stored() bool { return r.Digest != "" || r.Name != "" }

// ExplicitPath reports whether r is a path that contains a slash or begins with a dot. Recipes accept only such paths,
// so that a misspelt step output is not mistaken for a file.
func (r Reference) ExplicitPath() bool {
	return strings.ContainsRune(r.Path, '/') || strings.HasPrefix(r.Path, ".")
}

// Resolve returns the digest and the size in bytes of the blob that a stored reference denotes. It fails with class
// Input if the name is unknown or the blob is missing.
func (s *Store) Resolve(ctx context.Context, r Reference) (Digest, int64, error) {
	digest := r.Digest
	if r.Name != "" {
		var err error
		digest, err = s.Ref(ctx, r.Name)
		if errors.Is(err, ErrNotFound) {
			return "", 0, failure.New(failure.Input, "pipeline ls refs lists them", "the store has no ref %s", r.Name)
		}
		if err != nil {
			return "", 0, err
		}
	}
	size, ok, err := s.Has(ctx, digest)
	if err == nil && !ok {
		err = failure.New(failure.Input, "", "the store has no blob %s", digest)
	}
	return digest, size, err
}
