package source

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

// Limits on the content of folders and archives. They are variables so that tests can lower them.
var (
	maxFiles       = 1 << 22  // images in a collection
	maxName        = 1 << 12  // bytes in a file name
	maxFile  int64 = 64 << 20 // bytes in an image file
	maxSlack int64 = 1 << 30  // a .tar.gz file may expand to maxSlack bytes plus maxRatio times
	maxRatio int64 = 100      // its size; images hardly shrink, but decompression bombs do
)

// collection lists the image files of a folder, a zip file or a tar archive. Nothing is unpacked to disk: files are
// read into memory one by one. A collection must be closed.
//
// The images of folders and zip files are sorted by path. The images of tar archives are in the order of the archive,
// since a compressed tar archive can only be read from front to back.
type collection struct {
	path    string
	names   []string // paths of the images, with slashes
	skipped Tally    // files without an image's extension

	archive *os.File // nil for a folder
	size    int64
	changed time.Time
	zipped  []*zip.File // members of a zip file, by image; nil for other collections
	gzipped bool
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
		err = c.listFolder()
	case info.Mode().IsRegular():
		if c.archive, err = os.Open(path); err == nil {
			err = c.listArchive()
		}
	default:
		err = fileError(path, "file type", "a folder or an archive", "%v", info.Mode().Type())
	}
	if err == nil && len(c.names) == 0 {
		err = optionError("give a folder or an archive with images", path, "images",
			"files named *.png, *.jpg, *.jpeg, *.gif, *.bmp or *.webp", "none, and %d other files", c.skipped.N)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *collection) close() {
	if c.archive != nil {
		c.archive.Close()
	}
}

// file returns the name of image i for errors.
func (c *collection) file(i int) string {
	if c.archive == nil {
		return filepath.Join(c.path, filepath.FromSlash(c.names[i]))
	}
	return c.path + ":" + c.names[i]
}

// accept reports whether a file is to be read as an image, judging by its name. An unsafe name is an error.
func (c *collection) accept(name string) (bool, error) {
	if len(name) > maxName || strings.ContainsAny(name, "\\\x00") || !fs.ValidPath(strings.TrimPrefix(name, "./")) {
		return false, fileError(c.path, "name of a file in it",
			"a path below the top, without \"..\" and backslashes", "%.200q", name)
	}
	for element := range strings.SplitSeq(name, "/") {
		if element != "." && strings.HasPrefix(element, ".") || element == "__MACOSX" {
			return false, nil // skip hidden files and files that macOS adds to archives
		}
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

func (c *collection) listFolder() error {
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
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() { // os.Stat follows links to files
			c.skipped.add(name)
			return nil
		}
		ok, err := c.accept(name)
		if ok {
			c.names = append(c.names, name)
		}
		return err
	})
	slices.Sort(c.names)
	return err
}

// each reads the images with the given ascending indices. For each image, in order, it calls give with the bytes of the
// file or with the error of reading them. It stops at the first error that give returns.
func (c *collection) each(ctx context.Context, indices []int, give func(i int, data []byte, err error) error) error {
	if c.archive != nil && c.zipped == nil {
		return c.eachInTar(ctx, indices, give)
	}
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
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%d bytes, expected at most %d", info.Size(), maxFile)
	}
	return readBounded(f, info.Size())
}

// readBounded reads r and returns an error unless r holds exactly size bytes. Memory grows with the bytes that arrive,
// not with the claimed size.
func readBounded(r io.Reader, size int64) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(int(min(size, 1<<20)) + bytes.MinRead)
	n, err := b.ReadFrom(io.LimitReader(r, size+1))
	if err == nil && n != size {
		err = fmt.Errorf("it does not have the %d bytes it claims: %w", size, io.ErrUnexpectedEOF)
	}
	return b.Bytes(), err
}

// imageFiles returns the files that determine the digest of a collection: its images or its archive, and the partition
// list if there is one.
func imageFiles(path, partition, hint string) ([]File, error) {
	if err := present(path, hint); err != nil {
		return nil, err
	}
	c, err := openCollection(path)
	if err != nil {
		return nil, err
	}
	defer c.close()
	files, err := c.files()
	if err != nil || partition == "" {
		return files, err
	}
	_, list, err := readPartition(partition)
	return append(files, list), err
}

// files hashes the files that identify the collection: the archive, or every image of a folder.
func (c *collection) files() ([]File, error) {
	if c.archive != nil {
		file, err := hashFile(c.path)
		file.Name = archiveName
		return []File{file}, err
	}
	files := make([]File, len(c.names))
	for i, name := range c.names {
		var err error
		if files[i], err = hashFile(c.file(i)); err != nil {
			return nil, err
		}
		files[i].Name = name
	}
	return files, nil
}

// merged describes the images of a folder as one File.
func merged(images []File) File {
	if len(images) == 1 {
		return images[0]
	}
	folder := File{Name: folderName, SHA256: strings.TrimPrefix(digestOf(images), "sha256:")}
	for _, f := range images {
		folder.Bytes += f.Bytes
	}
	return folder
}

// checkUnchanged returns an error if an archive has changed since it was opened.
func (c *collection) checkUnchanged() error {
	if c.archive == nil {
		return nil
	}
	info, err := os.Stat(c.path)
	if err != nil {
		return err
	}
	if info.Size() != c.size || !info.ModTime().Equal(c.changed) {
		return checksumError(c.path, "the archive", "that of when it was opened",
			"another, of a file that changed while it was read")
	}
	return nil
}
