package source

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

const noteTrailing = "bytes after the end of the compressed data were ignored"

// tarBlock is the size of the blocks of a tar archive, in bytes.
const tarBlock = 512

// listTar lists the members of a tar archive and reads r to its end. position returns how many bytes of r have been
// read. The offsets of entries are such positions.
func (c *collection) listTar(r io.Reader, position func() int64) (members []entry, err error) {
	archive := tar.NewReader(r)
	// The position of a member's data is known once its headers are read. A sparse file, however, must be read from its
	// headers on. So its entry says that it is member number nth, counted from 1, of those that begin at position start.
	// The size of a sparse file's data in the archive is unknown, and so is the position of the headers that follow. If
	// another sparse file follows directly, it is therefore counted from the same start.
	start, nth := int64(0), 0
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return nil, c.tarError(err, members)
		}
		if len(members) == maxFiles {
			return nil, c.tooMany()
		}
		nth++
		e := entry{raw: h.Name, kind: tarKind(h.Typeflag), link: h.Linkname, size: h.Size}
		if isSparse(h) {
			e.offset, e.nth = start, nth
		} else {
			e.offset = position()
			start, nth = e.offset, 0
			if e.kind != symlink && e.kind != hardlink && e.kind != directory {
				start = (e.offset + h.Size + tarBlock - 1) / tarBlock * tarBlock
			}
		}
		if e.kind != directory {
			members = append(members, e)
		}
	}
	if c.data != nil && nth == 0 && !c.ended(start) {
		c.notes = append(c.notes, "the tar archive has no end mark, so it may have been cut off")
	}
	extra, err := nonzero(r)
	if extra {
		c.notes = append(c.notes, "bytes after the end of the tar archive were ignored; tar -i reads further archives")
	}
	if errors.Is(err, errTrailing) { // the archive itself is complete
		c.notes = append(c.notes, noteTrailing)
		err = nil
	}
	return members, err
}

// ended reports whether a tar archive has a block of zeros, which marks its end, at the given position.
func (c *collection) ended(at int64) bool {
	block := make([]byte, tarBlock)
	n, err := c.data.ReadAt(block, at)
	return n == tarBlock && (err == nil || errors.Is(err, io.EOF)) && bytes.Count(block, []byte{0}) == tarBlock
}

// nonzero reads r to its end and reports whether it holds anything but zeros.
func nonzero(r io.Reader) (found bool, err error) {
	block := make([]byte, 1<<16)
	for {
		n, err := r.Read(block)
		for _, b := range block[:n] {
			found = found || b != 0
		}
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return found, err
		}
	}
}

// tarKind returns what a member is. Go's package tar has separate types for contiguous files and for sparse files in
// the GNU format. Both are read like regular files.
func tarKind(flag byte) kind {
	switch flag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		return regular
	case tar.TypeLink:
		return hardlink
	case tar.TypeSymlink:
		return symlink
	case tar.TypeDir, tar.TypeXGlobalHeader:
		return directory
	}
	return special
}

// isSparse reports whether the data of a member are stored without their holes.
func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// tarError explains an error of the tar reader: it names the archive and the last member that was read, if any. An
// error that is not about the format is returned unchanged.
func (c *collection) tarError(err error, members []entry) error {
	switch {
	case len(members) == 0 && errors.Is(err, tar.ErrHeader):
		return fileError(archiveHint, c.path, "format", archiveFormats, "something else (%v)", err)
	case len(members) == 0 && errors.Is(err, io.ErrUnexpectedEOF) && c.size < tarBlock:
		return fileError(freshHint, c.path, "format", archiveFormats, "something else, or the beginning of one (truncated)")
	case !errors.Is(err, tar.ErrHeader):
		return err
	}
	return fileError(freshHint, c.path, "header of a file in the tar archive", "an intact one",
		"a damaged one, after %q", members[len(members)-1].raw)
}

func (c *collection) openTarred(e *entry) (io.Reader, error) {
	if e.nth == 0 {
		return io.NewSectionReader(c.data, e.offset, min(e.size, max(0, c.dataSize-e.offset))), nil
	}
	archive := tar.NewReader(io.NewSectionReader(c.data, e.offset, c.dataSize-e.offset))
	for range e.nth {
		if _, err := archive.Next(); err != nil {
			return nil, fmt.Errorf("reading it again: %w", err)
		}
	}
	return archive, nil
}
