package source

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/encoding"

	"vapo/lib/picture"
)

// Limits on the content of folders and archives. They are variables so that tests can lower them.
var (
	maxFiles       = 1 << 22 // files in a collection
	maxName        = 1 << 12 // bytes in a file name
	maxFile  int64 = 1 << 30 // bytes in an image file; a BMP of picture.MaxPixels takes up to 2/3 of it
	maxSlack int64 = 1 << 30 // a compressed tar archive may expand to maxSlack + maxRatio * its compressed size, in bytes
	maxRatio int64 = 100     // images hardly compress, but decompression bombs do
)

// collection lists the image files of a folder, a zip file or a tar archive, sorted by path. Files are read into memory
// one by one, in any order. A collection must be closed.
type collection struct {
	path     string
	encoding encoding.Encoding // of names that are not UTF-8; nil if unknown
	images   []entry

	skipped  Tally    // files without an image's extension
	nested   string   // the first skipped file with the extension of an archive
	unread   Tally    // links without a target in the collection, and special files
	replaced Tally    // members of an archive that a later member of the same name replaces
	escaped  Tally    // images whose names are in an unknown encoding
	notes    []string // other warnings

	archive  *os.File // nil for a folder
	size     int64
	changed  time.Time
	data     io.ReaderAt // the members of a tar archive: archive, or unpacked
	dataSize int64
	unpacked *os.File // the content of a compressed tar archive, without a name; nil for other collections
}

// entry is a file in a folder or a member of an archive.
type entry struct {
	raw    string // its path, with slashes, as it is on disk or in the archive
	marked bool   // whether the archive says that raw is UTF-8
	name   string // its path as text: see decodeNames
	known  bool   // whether the encoding of raw is known
	kind   kind
	link   string // target of a link
	size   int64  // in bytes; 0 if unknown

	offset int64     // in a tar archive: position of the data, or see nth
	nth    int       // if not 0, offset is the position of a header, and the member is the nth from there
	zip    *zip.File // in a zip file
}

// kind is the type of an entry.
type kind uint8

const (
	regular kind = iota
	directory
	symlink
	hardlink
	special
)

// openCollection lists the images of a folder or archive. names is the encoding of names that are not UTF-8; nil means
// unknown. If wanted is false, only the list is available; this saves keeping a decompressed copy of the archive.
func openCollection(
	ctx context.Context, path string, names encoding.Encoding, wanted bool,
) (c *collection, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	c = &collection{path: path, size: info.Size(), changed: info.ModTime(), encoding: names}
	switch {
	case info.IsDir():
		err = c.listFolder()
	case info.Mode().IsRegular():
		if c.archive, err = os.Open(path); err == nil {
			err = c.listArchive(ctx, wanted)
		}
	default:
		err = fileError(imagesHint, path, "file type", "a folder or an archive", "something else (%v)",
			info.Mode().Type())
	}
	if err == nil && len(c.images) == 0 {
		err = c.noImages()
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// noImages returns an error that says what the collection holds instead of images.
func (c *collection) noImages() error {
	hint := "give a folder or an archive of such images; convert others, such as HEIC or TIFF, to PNG or JPEG"
	got := "none: there are no files"
	if c.skipped.N > 0 {
		got = fmt.Sprintf("none, and %d other files, the first is %s", c.skipped.N, c.skipped.First)
	} else if c.unread.N > 0 {
		got = "none"
	}
	if c.unread.N > 0 {
		got += fmt.Sprintf("; %d links or special files, the first is %s", c.unread.N, c.unread.First)
	}
	if c.nested != "" {
		hint = "unpack the outer archive, and give the inner one"
		got = fmt.Sprintf("none, but an archive in the archive, %s", c.nested)
	}
	return fileError(hint, c.path, "images", "files named *.png, *.jpg, *.jpeg, *.gif, *.bmp or *.webp", "%s", got)
}

func (c *collection) close() {
	for _, f := range []*os.File{c.archive, c.unpacked} {
		if f != nil {
			f.Close()
		}
	}
}

// file returns the name of image i for errors.
func (c *collection) file(i int) string {
	if c.archive == nil {
		return filepath.Join(c.path, filepath.FromSlash(c.images[i].name))
	}
	return c.path + ":" + c.images[i].name
}

func (c *collection) names() []string {
	names := make([]string, len(c.images))
	for i := range c.images {
		names[i] = c.images[i].name
	}
	return names
}

// place returns the path on disk of a file in a folder.
func (c *collection) place(e *entry) string { return filepath.Join(c.path, filepath.FromSlash(e.raw)) }

// add adds a file whose name is that of an image.
func (c *collection) add(e entry) error {
	switch {
	case len(c.images) == maxFiles:
		return c.tooMany()
	case len(e.name) > maxName:
		return fileError("shorten it", c.path, "name of a file in it", fmt.Sprintf("at most %d bytes", maxName),
			"%d, %.200q", len(e.name), e.name)
	case e.size > maxFile:
		return c.tooLarge(e.name, e.size)
	case e.zip != nil:
		if err := e.unreadable(c.path); err != nil {
			return err
		}
	}
	if !e.known {
		c.escaped.add(e.name)
	}
	c.images = append(c.images, e)
	return nil
}

func (c *collection) tooLarge(name string, size int64) error {
	return fileError("leave it out, or make it smaller", c.path, name,
		fmt.Sprintf("an image file of at most %d bytes", maxFile), "%d bytes", size)
}

func (c *collection) tooMany() error {
	return fileError("divide the set", c.path, "files", fmt.Sprintf("at most %d", maxFiles), "more")
}

// skip counts a file without an image's extension.
func (c *collection) skip(name string) {
	c.skipped.add(name)
	packed := slices.Contains([]string{".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar"},
		strings.ToLower(path.Ext(name)))
	if packed && c.nested == "" {
		c.nested = name
	}
}

// hidden reports whether a path is that of a hidden file, or of a file that macOS adds to archives.
func hidden(name string) bool {
	for element := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(element, ".") || element == "__MACOSX" {
			return true
		}
	}
	return false
}

func (c *collection) listFolder() error {
	root, err := filepath.EvalSymlinks(c.path) // WalkDir follows no links
	if err != nil {
		return err
	}
	var files []entry
	err = filepath.WalkDir(root, func(place string, d fs.DirEntry, err error) error {
		if err != nil || place == root {
			return err
		}
		rel, err := filepath.Rel(root, place)
		if err != nil {
			return err
		}
		switch {
		case hidden(d.Name()) && d.IsDir():
			return fs.SkipDir
		case hidden(d.Name()) || d.IsDir():
			return nil
		}
		if len(files) == maxFiles {
			return c.tooMany()
		}
		files = append(files, entry{raw: filepath.ToSlash(rel)})
		return nil
	})
	if err != nil {
		return err
	}
	decodeNames(files, c.encoding)
	for _, e := range files {
		info, err := os.Stat(c.place(&e)) // follows links to files
		switch {
		case err != nil:
			c.unread.add(e.name + ": " + whyNowhere)
		case info.IsDir():
			c.unread.add(e.name + ": " + whyFolder)
		case !picture.Named(e.name):
			c.skip(e.name)
		case !info.Mode().IsRegular():
			c.unread.add(e.name + ": " + whySpecial)
		default:
			if err := c.add(e); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(c.images, func(a, b entry) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.raw, b.raw))
	})
	return nil
}

// each reads the images with the given indices. For each image, in order, it calls give with the bytes of the file or
// with the error that occurred while reading them. It stops at the first error that give returns.
func (c *collection) each(ctx context.Context, indices []int, give func(i int, data []byte, err error) error) error {
	for _, i := range indices {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		data, err := c.content(&c.images[i])
		if err := give(i, data, err); err != nil {
			return err
		}
	}
	return nil
}

func (c *collection) content(e *entry) ([]byte, error) {
	switch {
	case e.zip != nil:
		r, err := e.zip.Open()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return readBounded(r, e.size)
	case c.archive != nil:
		r, err := c.openTarred(e)
		if err != nil {
			return nil, err
		}
		return readBounded(r, e.size)
	}
	f, err := os.Open(c.place(e))
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
