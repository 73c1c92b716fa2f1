package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"

	"vapo/lib/failure"
)

// FileDigest returns the digest and the length in bytes of a local file. It fails with class Input if path is not a
// readable regular file.
func FileDigest(path string) (Digest, int64, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		const hint = "a REF is sha256:…, ref:name or the path of a file"
		return "", 0, failure.New(failure.Input, hint, "no such file: %s", path)
	}
	if err != nil {
		return "", 0, failure.New(failure.Input, "", "%w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		hint := ""
		if err == nil && info.IsDir() {
			hint = "it is a directory; name a file in it"
		}
		return "", 0, failure.New(failure.Input, hint, "%s is not a regular file", path)
	}
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return "", 0, failure.New(failure.Input, "", "reading %s: %w", path, err)
	}
	return SumDigest(sum.Sum(nil)), size, nil
}

// SumDigest returns the Digest of a SHA-256 sum.
func SumDigest(sum []byte) Digest { return digestPrefix + Digest(hex.EncodeToString(sum)) }
