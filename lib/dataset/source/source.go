// Package source creates data sets from published files, from users' own images and tables, and from distributions
// that are sampled with a seed.
//
// A set that is read from files carries the digest of the files, so that results are keyed by content instead of paths.
// Files of a published data set are compared with their known sha256, and every file is checked against its own header.
// Errors name the file, what was expected and what was found. Images need not fit into memory: a Stream yields them in
// batches.
package source

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"vapo/lib/failure"
	"vapo/lib/random"
)

// File describes a source file that was read.
type File struct {
	Name   string `json:"name"` // without the directory
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Tally counts items that were left out, and describes the first one.
type Tally struct {
	N     int
	First string
}

func (t *Tally) add(what string) {
	if t.N++; t.N == 1 {
		t.First = what
	}
}

// warn returns a warning with the number of items and the first one, or nothing if there are no items. one and many are
// the texts that follow the number.
func (t *Tally) warn(one, many string) []string {
	switch t.N {
	case 0:
		return nil
	case 1:
		return []string{fmt.Sprintf("1 %s: %s", one, t.First)}
	}
	return []string{fmt.Sprintf("%d %s; the first is %s", t.N, many, t.First)}
}

// own lists the sources that are read from files but not by Load: OpenImages reads "images" and "celeba", LoadCSV reads
// "csv".
var own = []string{"images", "celeba", "csv"}

// Names lists all sources: those that are published, the user's own, and those that are drawn.
func Names() []string {
	return slices.Concat(slices.Sorted(maps.Keys(publishedSets)), own, pointSources, []string{"shapes"})
}

// IsPublished reports whether Load reads the source.
func IsPublished(source string) bool { return publishedSets[source] != nil }

// IsRead reports whether a source is read from files and therefore has a Digest.
func IsRead(source string) bool { return IsPublished(source) || slices.Contains(own, source) }

// Digest returns the digest of a source that is read from files: one sha256 over the names and sha256 sums of the
// files. It does not depend on the directory of the files. Digest reads the files but does not decode them. In a folder
// of images, only the images count, named by their paths relative to the folder. A published source that is missing has
// the digest that it will have once Fetch has downloaded it.
func Digest(source, path string) (string, error) {
	if p := publishedSets[source]; p != nil && path == "" {
		paths, err := Locate(source, "")
		if errors.Is(err, fs.ErrNotExist) || err == nil && p.isFetched(source, paths) {
			return p.digest(), nil
		}
	}
	files, err := digestFiles(source, path)
	if err != nil {
		return "", inSource(source, err)
	}
	return digestOf(files), nil
}

func digestFiles(source, path string) (files []File, err error) {
	switch source {
	case "images":
		return imageFiles(path, "", imagesHint)
	case "celeba":
		images, partition, err := locateCelebA(path)
		if err != nil {
			return nil, err
		}
		return imageFiles(images, partition, celebaHint)
	}
	paths := []string{path}
	if source == "csv" {
		err = checkTable(path)
	} else {
		paths, err = Locate(source, path)
	}
	if err != nil {
		return nil, err
	}
	for _, p := range paths {
		file, err := hashFile(p)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

func digestOf(files []File) string {
	h := sha256.New()
	for _, f := range files {
		name := f.Name
		if len(files) == 1 {
			name = archiveName
		}
		fmt.Fprintf(h, "%d:%s %s\n", len(name), name, f.SHA256)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// archiveName replaces the name of a single file in digests, since people rename archives. folderName is the name of
// the File that describes a folder.
const (
	archiveName = "archive"
	folderName  = "folder"
)

// CheckDigest returns an error if the digest of a source is not the expected one.
func CheckDigest(source, want, got string) error {
	if got != want {
		return checksumError(digestHint, source, "source-digest", want, got)
	}
	return nil
}

// hashedFile is an open file that hashes what is read from it.
type hashedFile struct {
	file *os.File // not embedded: its WriteTo would bypass the hash
	sum  hash.Hash
	n    int64
}

func openHashed(path string) (*hashedFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &hashedFile{file: f, sum: sha256.New()}, nil
}

func (h *hashedFile) Read(p []byte) (int, error) {
	n, err := h.file.Read(p)
	h.sum.Write(p[:n])
	h.n += int64(n)
	return n, err
}

// finish reads the rest of the file, closes it and returns its description.
func (h *hashedFile) finish() (File, error) {
	_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, h, make([]byte, 1<<18))
	if err = errors.Join(err, h.file.Close()); err != nil {
		return File{}, err
	}
	return File{Name: filepath.Base(h.file.Name()), Bytes: h.n, SHA256: hex.EncodeToString(h.sum.Sum(nil))}, nil
}

func hashFile(path string) (File, error) {
	f, err := openHashed(path)
	if err != nil {
		return File{}, err
	}
	return f.finish()
}

// defaultTestFraction is the share of images or of a table's rows that becomes the test split.
const defaultTestFraction = 0.1

// split shuffles the indices of n >= 2 samples and takes a share of them for testing (0: a tenth), at least one and at
// most n-1. Both lists stay shuffled, because users and stages often take the first samples to represent a split, and
// files are often sorted by class.
func split(n int, share float64, seed uint64, stream string) (train, test []int) {
	k := min(max(int(math.Round(cmp.Or(share, defaultTestFraction)*float64(n))), 1), n-1)
	dealt := random.New(seed, stream, 0).Perm(n)
	return dealt[k:], dealt[:k]
}

// inSource adds the name of the source to an error. Errors from the file system become input errors.
func inSource(source string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("dataset %s: %w", source, err)
	var path *fs.PathError
	if errors.As(err, &path) {
		return failure.Default(failure.Input, "check the path and its permissions", err)
	}
	return err
}

// present returns an error if there is nothing at path.
func present(path, hint string) error {
	if path == "" {
		return failure.New(failure.Input, hint, "no path given")
	}
	if _, err := os.Stat(path); err != nil {
		return failure.New(failure.Input, hint, "%w", err)
	}
	return nil
}

// freshHint is for files that were damaged when they were copied or downloaded.
const freshHint = "get a fresh copy of the file"

// fileError reports that a file is not what was expected.
func fileError(hint, path, what, want, format string, args ...any) error {
	return failure.New(failure.Input, hint, "%s: %s: expected %s, got %s", path, what, want, fmt.Sprintf(format, args...))
}

func truncatedError(path, what, want, format string, args ...any) error {
	return fileError(freshHint, path, what, want, format+" (truncated)", args...)
}

// damagedError reports that a file is corrupt: err says how a decompressor or an archive reader noticed it.
func damagedError(path, data string, err error) error {
	return failure.New(failure.Integrity, freshHint, "%s: content: expected intact %s, got damaged data (%v)",
		path, data, err)
}

// Hints about checksums that do not match.
const (
	publishedHint = freshHint + "; if it is meant to differ, give --no-verify"
	digestHint    = "get the files that have this digest; if they are meant to differ, give the new --source-digest"
	changedHint   = "run the same command again while nothing changes the files"
)

// checksumError reports that the bytes of a file do not match a checksum: that of the published data set, that of an
// earlier reading, or the digest in the key.
func checksumError(hint, path, of, want, got string) error {
	return failure.New(failure.Integrity, hint, "%s: checksum of %s: expected %s, got %s", path, of, want, got)
}

// tooFewError reports that a split has fewer samples than a parameter requests.
func tooFewError(split string, want, have int) error {
	return failure.New(failure.Usage, fmt.Sprintf("set n-%s to at most %d, or to 0 for all", split, have),
		"n-%s is %d, but the %s split has %d samples", split, want, split, have)
}
