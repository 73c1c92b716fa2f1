package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"vapo/lib/download"
	"vapo/lib/failure"
)

// remote is a file that the publisher of a data set offers. md5 is the publisher's checksum of the file.
type remote struct{ base, name, md5 string }

const cifarArchiveName = "cifar-10-binary.tar.gz"

// maxRemote is the largest size of a download, in bytes. The largest published file is 170 MB in size.
const maxRemote = 256 << 20

// idxFiles describes the four files of the MNIST family. md5 is in the order of locateIDX.
func idxFiles(base string, md5 ...string) (files []remote) {
	for i, name := range []string{trainImages, trainLabels, testImages, testLabels} {
		files = append(files, remote{base, name + ".gz", md5[i]})
	}
	return files
}

// fetchDir returns the directory for the files of a source that Fetch downloads, in the user's cache directory.
func fetchDir(source string) (string, error) {
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "vapo", "datasets", source), err
}

// fetched returns the path at which Locate finds a source that Fetch has downloaded.
func (p *published) fetched(source string) string {
	dir, err := fetchDir(source)
	if err != nil {
		return "" // there is no home directory, so nothing was downloaded
	}
	if len(p.remote) == 1 {
		return filepath.Join(dir, p.remote[0].name)
	}
	return dir
}

// isFetched reports whether files, which Locate found without a path, come from Fetch.
func (p *published) isFetched(source string, files []string) bool {
	dir, err := fetchDir(source)
	return err == nil && filepath.Dir(files[0]) == dir
}

// digest returns the digest of the content of a published set. Unlike the digest of its files, it is known before the
// files have been downloaded.
func (p *published) digest() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(p.sums)) {
		fmt.Fprintf(h, "%s %s\n", p.sums[name], name)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// Fetch downloads a published source from its publisher into the user's cache directory, unless Locate finds the files.
// An interrupted download resumes. Files appear only after they have matched the published checksum. Before each file,
// Fetch calls bar, which returns two functions: progress, which Fetch calls with numbers of bytes while the file
// arrives, and end, which it calls after the file.
func Fetch(
	ctx context.Context, source string, log *slog.Logger, bar func() (progress func(done, total int64), end func()),
) error {
	if _, err := Locate(source, ""); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	p := publishedSets[source]
	dir, err := fetchDir(source)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return failure.New(failure.Usage, p.hint, "dataset %s: there is no directory to download to: %w", source, err)
	}
	for _, r := range p.remote {
		path := filepath.Join(dir, r.name)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		log.Info("downloading", "source", source, "from", r.base+r.name, "to", dir)
		progress, end := bar()
		f := download.File{
			URL: r.base + r.name, Path: path, Digest: "md5:" + r.md5, MaxBytes: maxRemote, Log: log, Progress: progress,
		}
		err := f.Get(ctx)
		end()
		if err != nil {
			return failure.New(failure.ClassOf(err), p.hint, "dataset %s: %w", source, err)
		}
	}
	return nil
}
