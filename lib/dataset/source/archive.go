package source

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/gzip"
	"context"
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
	listed, err := c.walkTar(func(string, int64, io.Reader) error { return nil })
	if err != nil {
		return err
	}
	c.names, c.skipped = listed.names, listed.skipped
	return c.checkUnique(slices.Sorted(slices.Values(c.names)))
}

// checkUnique returns an error if two images of an archive have the same name. sorted holds the names in order.
func (c *collection) checkUnique(sorted []string) error {
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
		ok, err := c.accept(f.Name)
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
			return c.tooLarge(f.Name, int64(min(f.UncompressedSize64, 1<<62)))
		}
		c.names = append(c.names, f.Name)
		c.zipped = append(c.zipped, f)
	}
	slices.SortFunc(c.zipped, func(a, b *zip.File) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(c.names)
	return c.checkUnique(c.names)
}

func (c *collection) tooLarge(name string, size int64) error {
	return fileError(c.path, name, fmt.Sprintf("an image file of at most %d bytes", maxFile), "%d bytes", size)
}

// walkTar reads a tar archive and passes each image to visit. It returns the names of the images and a tally of the
// skipped files in a new collection, and does not change c.
func (c *collection) walkTar(visit func(name string, size int64, r io.Reader) error) (listed *collection, err error) {
	listed = &collection{path: c.path}
	plain := io.Reader(io.NewSectionReader(c.archive, 0, c.size)) // a Seeker, so that package tar can skip members
	var bounded *io.LimitedReader
	if c.gzipped {
		z, err := gzip.NewReader(bufio.NewReaderSize(plain, 1<<16))
		if err != nil {
			return nil, damaged(c.path, err)
		}
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
			err = listed.visitTar(h, members, visit)
		}
		var caller callerError
		if errors.As(err, &caller) {
			return nil, caller.error
		}
		if err != nil {
			return nil, c.tarError(err, bounded)
		}
	}
	if bounded != nil { // read to the end: the last bytes of a gzip stream are its checksum
		if _, err := io.Copy(io.Discard, plain); err != nil || bounded.N <= 0 {
			return nil, c.tarError(err, bounded)
		}
	}
	return listed, nil
}

func (c *collection) visitTar(h *tar.Header, r io.Reader, visit func(string, int64, io.Reader) error) error {
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	ok, err := c.accept(h.Name)
	if err != nil || !ok {
		return err
	}
	if h.Size > maxFile {
		return c.tooLarge(h.Name, h.Size)
	}
	c.names = append(c.names, h.Name)
	return visit(h.Name, h.Size, r)
}

func (c *collection) tarError(err error, bounded *io.LimitedReader) error {
	if bounded != nil && bounded.N <= 0 {
		want := fmt.Sprintf("at most %d bytes uncompressed, %d times its size and %d",
			maxSlack+maxRatio*c.size, maxRatio, maxSlack)
		return fileError(c.path, "archive", want, "more")
	}
	return damaged(c.path, err)
}

// callerError marks an error that the visit function returned, as opposed to an error in the archive.
type callerError struct{ error }

// eachInTar implements each for tar archives.
func (c *collection) eachInTar(
	ctx context.Context, indices []int, give func(i int, data []byte, err error) error,
) error {
	i := -1 // index of the current image
	_, err := c.walkTar(func(_ string, size int64, r io.Reader) error {
		i++
		if ctx.Err() != nil {
			return callerError{context.Cause(ctx)}
		}
		if len(indices) == 0 || indices[0] != i {
			return nil
		}
		indices = indices[1:]
		data, err := readBounded(r, size)
		if err != nil {
			return err // the rest of the archive cannot be read either
		}
		if err := give(i, data, nil); err != nil {
			return callerError{err}
		}
		return nil
	})
	return err
}
