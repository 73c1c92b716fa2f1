package dataset

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vapo/lib/picture"
)

// Bounds on what folders and archives may hold; variables so that tests need no gigabytes.
var (
	maxFiles       = 1 << 22  // images of a collection
	maxName        = 1 << 12  // bytes of a name
	maxFile  int64 = 64 << 20 // bytes of an image file
	maxSlack int64 = 1 << 30  // what a .tar.gz may expand to, beside maxRatio times its size:
	maxRatio int64 = 100      // images hardly shrink, bombs do
)

// collection is the image files of a folder, a zip file or a tar archive. Nothing is unpacked to disk: files are read into
// memory one by one. It has to be closed.
//
// The images of folders and zip files are in the order of their paths. Those of tar archives, which can only be read from
// the front if they are compressed, are in the order in which they lie there.
type collection struct {
	path    string
	names   []string // of the images, with slashes
	skipped Tally    // files that are no images by their names

	archive *os.File // nil for a folder
	size    int64
	changed time.Time
	zipped  []*zip.File // by image, of a zip file
	gzipped bool
}

// Tally counts what was left out, and keeps the first of it.
type Tally struct {
	N     int
	First string
}

func (t *Tally) add(what string) {
	if t.N++; t.N == 1 {
		t.First = what
	}
}

// openCollection lists the images of a folder or archive.
func openCollection(path string) (c *collection, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	c = &collection{path: path, size: info.Size(), changed: info.ModTime()}
	switch {
	case info.IsDir():
		err = c.walkFolder()
	case info.Mode().IsRegular():
		if c.archive, err = os.Open(path); err != nil {
			return nil, err
		}
		if err = c.listArchive(); err != nil {
			c.close()
		}
	default:
		err = fileError(path, "file type", "a folder or an archive", "%v", info.Mode().Type())
	}
	if err != nil {
		return nil, err
	}
	if len(c.names) == 0 {
		c.close()
		return nil, chosen("give a folder or an archive with images", path, "images", "files named *.png, *.jpg, *.jpeg, *.gif, *.bmp or *.webp", "none, and %d other files", c.skipped.N)
	}
	return c, nil
}

func (c *collection) close() {
	if c.archive != nil {
		c.archive.Close()
	}
}

// file is how errors name image i.
func (c *collection) file(i int) string {
	if c.archive == nil {
		return filepath.Join(c.path, filepath.FromSlash(c.names[i]))
	}
	return c.path + ":" + c.names[i]
}

// take decides about a file by its name: whether it is an image to be read.
func (c *collection) take(name string) (bool, error) {
	elements := strings.Split(name, "/")
	if len(name) > maxName || strings.ContainsAny(name, "\\\x00") || !fs.ValidPath(strings.TrimPrefix(name, "./")) {
		return false, fileError(c.path, "name of a file in it", "a path below the top, without \"..\" and backslashes", "%.200q", name)
	}
	if slices.ContainsFunc(elements, func(e string) bool { return e != "." && strings.HasPrefix(e, ".") || e == "__MACOSX" }) {
		return false, nil // hidden, and what macOS keeps beside files in archives
	}
	if !picture.Named(name, picture.Formats...) {
		c.skipped.add(name)
		return false, nil
	}
	if len(c.names) == maxFiles {
		return false, fileError(c.path, "images", fmt.Sprintf("at most %d", maxFiles), "more")
	}
	return true, nil
}

func (c *collection) walkFolder() error {
	err := filepath.WalkDir(c.path, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == c.path {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		rel, err := filepath.Rel(c.path, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() { // links to files are followed
			c.skipped.add(name)
			return nil
		}
		ok, err := c.take(name)
		if ok {
			c.names = append(c.names, name)
		}
		return err
	})
	slices.Sort(c.names)
	return err
}

// each reads the images of the given indices, ascending, and hands them on in that order, or why one cannot be read. An error
// of give ends it.
func (c *collection) each(ctx context.Context, indices []int, give func(i int, data []byte, err error) error) error {
	if c.archive == nil || c.zipped != nil {
		for _, i := range indices {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			data, err := c.read(i)
			if err := give(i, data, err); err != nil {
				return err
			}
		}
		return nil
	}
	at, next := 0, 0 // the image that comes, and the first of indices that was not met
	_, err := c.walkTar(func(_ string, size int64, r io.Reader) error {
		i := at
		at++
		if ctx.Err() != nil {
			return passing{context.Cause(ctx)}
		}
		if next == len(indices) || indices[next] != i {
			return nil
		}
		next++
		data, err := readBounded(r, size)
		if err != nil {
			return err // there is no way on in a tar archive
		}
		if err := give(i, data, nil); err != nil {
			return passing{err}
		}
		return nil
	})
	return err
}

// read returns the bytes of image i of a folder or a zip file.
func (c *collection) read(i int) ([]byte, error) {
	if c.zipped != nil {
		r, err := c.zipped[i].Open()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return readBounded(r, int64(c.zipped[i].UncompressedSize64))
	}
	f, err := os.Open(c.file(i))
	if err != nil {
		return nil, errors.Unwrap(err) // the caller names the path
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.Size() > maxFile {
		err = fmt.Errorf("%d bytes; at most %d are read", info.Size(), maxFile)
	}
	if err != nil {
		return nil, err
	}
	return readBounded(f, info.Size())
}

// readBounded reads size bytes, which have to end there. Memory grows with what comes, not with what was claimed.
func readBounded(r io.Reader, size int64) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(int(min(size, 1<<20)) + bytes.MinRead)
	n, err := b.ReadFrom(io.LimitReader(r, size+1))
	if err == nil && n != size {
		err = fmt.Errorf("it does not have the %d bytes it claims: %w", size, io.ErrUnexpectedEOF)
	}
	return b.Bytes(), err
}

// files returns what the collection is keyed by, read whole: the archive, or every image of a folder.
func (c *collection) files() ([]File, error) {
	if c.archive != nil {
		f, err := openHashed(c.path)
		if err != nil {
			return nil, err
		}
		file, err := f.finish()
		file.Name = archiveName
		return []File{file}, err
	}
	files := make([]File, len(c.names))
	for i, name := range c.names {
		f, err := openHashed(c.file(i))
		if err != nil {
			return nil, err
		}
		if files[i], err = f.finish(); err != nil {
			return nil, err
		}
		files[i].Name = name
	}
	return files, nil
}

// archiveName stands for the names of archives, which people change; folderName for those of folders.
const (
	archiveName = "archive"
	folderName  = "folder"
)

// summed is files as few: a folder is one.
func summed(files []File, images int) []File {
	if images == 1 {
		return files
	}
	folder := File{Name: folderName, SHA256: strings.TrimPrefix(digestOf(files[:images]), "sha256:")}
	for _, f := range files[:images] {
		folder.Bytes += f.Bytes
	}
	return append([]File{folder}, files[images:]...)
}

// unchanged returns an error where an archive was written to since it was opened.
func (c *collection) unchanged() error {
	if c.archive == nil {
		return nil
	}
	info, err := os.Stat(c.path)
	if err != nil {
		return err
	}
	if info.Size() != c.size || !info.ModTime().Equal(c.changed) {
		return &ChecksumError{Path: c.path, Of: "the archive", Want: "that of when it was opened", Got: "another, of a file that changed while it was read"}
	}
	return nil
}
