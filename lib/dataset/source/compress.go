package source

import (
	"archive/zip"
	"bufio"
	"compress/bzip2"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	// zstd decodes Zstandard; the standard library has no decoder for it.
	"github.com/klauspost/compress/zstd"
	// xz is used because it bounds the dictionary that a file may ask for; other decoders in Go allocate up to 4 GiB.
	"github.com/therootcompany/xz"

	"vapo/lib/failure"
)

// maxWindow bounds the memory in bytes that a compressed file may ask for. It suffices for files written by xz -9 and
// zstd --long.
const maxWindow = 128 << 20

// errTrailing reports bytes after the end of compressed data.
var errTrailing = errors.New("something follows the end of the compressed data")

// decompress returns the content of r and its compression format, or "" if it is not compressed. It determines the
// format from the first bytes, not from the name of the file.
func decompress(r io.Reader) (content io.Reader, format string, err error) {
	in := bufio.NewReaderSize(r, 1<<16)
	head, err := in.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", err
	}
	switch format = formatOf(head); format {
	case "gzip":
		content, err = newMembers(in)
	case "bzip2":
		content = bzip2.NewReader(in)
	case "xz":
		content, err = xz.NewReader(in, maxWindow)
	case "Zstandard":
		content, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
	default:
		return in, "", nil
	}
	if err != nil {
		return nil, format, &decodeError{format, err}
	}
	return &decoder{content, format}, format, nil
}

// decoder adds the format to errors from decompression.
type decoder struct {
	io.Reader
	format string
}

func (d *decoder) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	var invalid bzip2.StructuralError
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	// These errors mean that something other than compressed data follows. Other errors of these types mean damage.
	case errors.Is(err, zstd.ErrMagicMismatch), errors.Is(err, xz.ErrFormat),
		errors.As(err, &invalid) && strings.Contains(string(invalid), "continuation"):
		err = errTrailing
	}
	return n, &decodeError{d.format, err}
}

// decodeError is a failure to decompress data or to read the compressed data.
type decodeError struct {
	format string
	err    error
}

func (e *decodeError) Error() string { return e.format + ": " + e.err.Error() }
func (e *decodeError) Unwrap() error { return e.err }

// members reads a gzip file: one or more members, and the zeros that some programs add after them to fill a block.
// Package gzip would report the zeros as a damaged member.
type members struct {
	in *bufio.Reader
	z  *gzip.Reader
}

func newMembers(in *bufio.Reader) (*members, error) {
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return &members{in, z}, nil
}

func (m *members) Read(p []byte) (int, error) {
	n, err := m.z.Read(p)
	if errors.Is(err, io.EOF) {
		err = m.next()
	}
	return n, err
}

// next opens the next member. It returns io.EOF if there is none.
func (m *members) next() error {
	for padding := 0; ; padding++ {
		b, err := m.in.ReadByte()
		switch {
		case err != nil:
			return err
		case b == 0:
			continue
		}
		if err := m.in.UnreadByte(); err != nil {
			return err
		}
		if head, _ := m.in.Peek(2); formatOf(head) != "gzip" || padding > 0 {
			return errTrailing
		}
		if err := m.z.Reset(m.in); err != nil {
			return err
		}
		m.z.Multistream(false)
		return nil
	}
}

// formats lists formats by the first bytes of a file: those that decompress reads, and others that an error can name.
var formats = []struct{ magic, name string }{
	{"\x1f\x8b", "gzip"},
	{"BZh", "bzip2"},
	{"\xfd7zXZ\x00", "xz"},
	{"\x28\xb5\x2f\xfd", "Zstandard"},
	{"PK\x03\x04", "zip"},
	{"PK\x05\x06", "zip"},
	{"PK\x07\x08", "zip"},
	{"7z\xbc\xaf\x27\x1c", "7z"},
	{"Rar!\x1a\x07", "RAR"},
	{"LZIP", "lzip"},
	{"\x04\x22\x4d\x18", "LZ4"},
	{"\x1f\x9d", "compress (.Z)"},
	{"\x5d\x00\x00", "LZMA"},
	{"MSCF", "cabinet"},
	{"xar!", "xar"},
	{"!<arch>", "ar"},
	{"ARROW1", "Arrow"},
	{"\x89HDF", "HDF5"},
	{"\x93NUMPY", "NumPy"},
	{"\x89PNG", "PNG"},
	{"\xff\xd8\xff", "JPEG"},
	{"<", "web page"},
	{"MZ", "program"}, // or a zip file that unpacks itself
	{"#!", "program"},
}

// formatOf names the format of a file that begins with head, or returns "".
func formatOf(head []byte) string {
	if len(head) >= 4 && head[0]&0xf0 == 0x50 && string(head[1:4]) == "\x2a\x4d\x18" {
		return "Zstandard" // files written by pzstd begin with such a frame, which holds no data
	}
	for _, f := range formats {
		if strings.HasPrefix(string(head), f.magic) {
			return f.name
		}
	}
	return ""
}

// damaged turns the errors of decompressors and archive readers into errors that name the file. A file that ends early
// is truncated; a file that contradicts itself is corrupt. Other errors are returned unchanged.
func damaged(path string, err error) error {
	var coded *decodeError
	var corrupt flate.CorruptInputError
	var access *fs.PathError
	switch {
	case errors.As(err, &access): // reading the file failed
		return err
	case failure.ClassOf(err) != failure.Bug: // a classified error already names the file
		return err
	case errors.Is(err, errTrailing):
		return fileError("decompress the file, and check whether data were lost or added", path, "content",
			"nothing after the compressed data", "other bytes")
	case errors.Is(err, xz.ErrMemlimit), errors.Is(err, zstd.ErrWindowSizeExceeded),
		errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fileError("decompress it, and compress it again with the default settings", path, "compression",
			fmt.Sprintf("a window of at most %d MiB", maxWindow>>20), "a larger one")
	case errors.Is(err, xz.ErrOptions), errors.Is(err, xz.ErrUnsupportedCheck):
		return fileError("decompress it, and compress it again with the default settings", path, "compression",
			"the filters and checks of xz", "others (%v)", err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, xz.ErrBuf):
		return truncatedError(path, "content", "more bytes", "the end of the data")
	case errors.As(err, &coded):
		return damagedError(path, coded.format+" data", coded.err)
	case errors.As(err, &corrupt), errors.Is(err, gzip.ErrChecksum), errors.Is(err, zip.ErrChecksum),
		errors.Is(err, zip.ErrFormat):
		return damagedError(path, "data", err)
	case errors.Is(err, gzip.ErrHeader):
		return fileError("check that the file is what its name says", path, "format", "gzip", "something else (%v)", err)
	}
	return err
}
