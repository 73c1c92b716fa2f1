package source

import (
	"archive/zip"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"
)

// zipEncrypted is the flag of an encrypted member.
const zipEncrypted = 1 << 0

// maxLink bounds the target of a symbolic link in bytes, as Linux does.
const maxLink = 1 << 12

// Compression methods of zip files, by their numbers in the format's specification, APPNOTE.TXT section 4.4.5.
const (
	zipBzip2 = 12
	zipZstd  = 93
	zipXZ    = 95
)

var zipMethods = map[uint16]string{
	1: "Shrink", 6: "Implode", 9: "Deflate64", 14: "LZMA", 96: "JPEG", 97: "WavPack", 98: "PPMd", 99: "AES encryption",
}

func (c *collection) listZip() (members []entry, err error) {
	z, err := zip.NewReader(c.archive, c.size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, fileError(freshHint, c.path, "format", "a zip file", "a part of one, or a damaged one (%v)", err)
	}
	z.RegisterDecompressor(zipBzip2, func(r io.Reader) io.ReadCloser { return io.NopCloser(bzip2.NewReader(r)) })
	z.RegisterDecompressor(zipZstd, zstd.ZipDecompressor(zstd.WithDecoderMaxWindow(maxWindow)))
	z.RegisterDecompressor(zipXZ, func(r io.Reader) io.ReadCloser {
		x, err := xz.NewReader(r, maxWindow)
		if err != nil {
			return io.NopCloser(failing{err})
		}
		return io.NopCloser(x)
	})
	for _, f := range z.File {
		if len(members) == maxFiles {
			return nil, c.tooMany()
		}
		e := entry{kind: zipKind(f), size: int64(min(f.UncompressedSize64, 1<<62)), zip: f}
		e.raw, e.marked = unicodeName(f)
		if !e.marked {
			e.raw, e.marked = f.Name, f.Flags&zipUTF8 != 0
		}
		if e.kind == symlink {
			e.link = c.zipLink(&e)
		}
		if e.kind != directory {
			members = append(members, e)
		}
	}
	return members, nil
}

func zipKind(f *zip.File) kind {
	mode := f.Mode()
	switch {
	case mode.IsDir():
		return directory
	case mode.IsRegular():
		return regular
	case mode&fs.ModeSymlink != 0:
		return symlink
	}
	return special
}

// zipLink returns the target of a symbolic link, which is the content of its member, or "" if that cannot be read.
func (c *collection) zipLink(e *entry) string {
	if e.size > maxLink || e.unreadable(c.path) != nil {
		return ""
	}
	data, err := c.content(e)
	if err != nil {
		return ""
	}
	return string(data)
}

// unreadable returns an error if a member of a zip file is encrypted or compressed with an unsupported method.
func (e *entry) unreadable(path string) error {
	const hint = "unpack it with a program that supports this method, and give the folder"
	switch method := e.zip.Method; {
	case e.zip.Flags&zipEncrypted != 0:
		return fileError("unpack it with its password, and give the folder", path, e.name,
			"a file that is not encrypted", "an encrypted one")
	case method != zip.Store && method != zip.Deflate && method != zipBzip2 && method != zipZstd && method != zipXZ:
		name := fmt.Sprintf("method %d", method)
		if known, ok := zipMethods[method]; ok {
			name = fmt.Sprintf("%s (%s)", known, name)
		}
		return fileError(hint, path, e.name, "a file that is stored, or compressed with Deflate, bzip2, Zstandard or xz",
			"%s", name)
	}
	return nil
}

// failing is a reader whose Read returns err.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
