package dataset

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

func (c *collection) listArchive() error {
	var head [4]byte
	n, err := c.archive.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case string(head[:n]) == "PK\x03\x04", string(head[:n]) == "PK\x05\x06":
		return c.listZip()
	case n > 1 && head[0] == 0x1f && head[1] == 0x8b:
		c.gzipped = true
	}
	fresh, err := c.walkTar(func(string, int64, io.Reader) error { return nil })
	if err != nil {
		return err
	}
	c.names, c.skipped = fresh.names, fresh.skipped
	return c.unique(slices.Sorted(slices.Values(c.names)))
}

// unique refuses archives in which one name stands for two images.
func (c *collection) unique(sorted []string) error {
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			return fileError(c.path, "names", "one file of each", "two of %q", sorted[i])
		}
	}
	return nil
}

// zipEncrypted is the flag of an encrypted member.
const zipEncrypted = 1 << 0

func (c *collection) listZip() error {
	z, err := zip.NewReader(c.archive, c.size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return fileError(c.path, "format", "a zip file", "something else, or a part of one (%v)", err)
	}
	for _, f := range z.File {
		if !f.Mode().IsRegular() {
			continue
		}
		ok, err := c.take(f.Name)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		switch {
		case f.Flags&zipEncrypted != 0:
			return fileError(c.path, f.Name, "a file that is not encrypted", "an encrypted one")
		case f.Method != zip.Store && f.Method != zip.Deflate:
			return fileError(c.path, f.Name, "a file stored or deflated", "compression method %d", f.Method)
		case f.UncompressedSize64 > uint64(maxFile):
			return fileError(c.path, f.Name, fmt.Sprintf("an image file of at most %d bytes", maxFile), "%d bytes", f.UncompressedSize64)
		}
		c.names = append(c.names, f.Name)
		c.zipped = append(c.zipped, f)
	}
	slices.SortFunc(c.zipped, func(a, b *zip.File) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(c.names)
	return c.unique(c.names)
}

// walkTar goes through a tar archive and hands every image to visit. It changes nothing in c, and lists what it meets in the
// collection it returns.
func (c *collection) walkTar(visit func(name string, size int64, r io.Reader) error) (fresh *collection, err error) {
	fresh = &collection{path: c.path}
	plain := io.Reader(io.NewSectionReader(c.archive, 0, c.size)) // with Seek, by which tar passes over what is not read
	var bounded *io.LimitedReader
	if c.gzipped {
		z, err := gzip.NewReader(bufio.NewReaderSize(plain, 1<<16))
		if err != nil {
			return nil, damaged(c.path, err)
		}
		defer z.Close()
		bounded = &io.LimitedReader{R: z, N: maxSlack + maxRatio*c.size}
		plain = bounded
	}
	members := tar.NewReader(plain)
	for {
		h, err := members.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil || errors.Is(err, tar.ErrInsecurePath) {
			err = fresh.visitTar(h, members, visit)
		}
		var passed passing
		if errors.As(err, &passed) {
			return nil, passed.error
		}
		if err != nil {
			return nil, c.tarError(err, bounded)
		}
	}
	if c.gzipped { // its checksum is its last bytes
		if _, err := io.Copy(io.Discard, plain); err != nil {
			return nil, c.tarError(err, bounded)
		}
		if bounded.N <= 0 {
			return nil, c.tarError(nil, bounded)
		}
	}
	return fresh, nil
}

func (c *collection) visitTar(h *tar.Header, r io.Reader, visit func(string, int64, io.Reader) error) error {
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	ok, err := c.take(h.Name)
	if err != nil || !ok {
		return err
	}
	if h.Size > maxFile {
		return fileError(c.path, h.Name, fmt.Sprintf("an image file of at most %d bytes", maxFile), "%d bytes", h.Size)
	}
	c.names = append(c.names, h.Name)
	return visit(h.Name, h.Size, r)
}

func (c *collection) tarError(err error, bounded *io.LimitedReader) error {
	if bounded != nil && bounded.N <= 0 {
		return fileError(c.path, "archive", fmt.Sprintf("at most %d bytes uncompressed, %d times its size and %d", maxSlack+maxRatio*c.size, maxRatio, maxSlack), "more")
	}
	return damaged(c.path, err)
}

// passing is an error of who visits an archive, not of the archive.
type passing struct{ error }
