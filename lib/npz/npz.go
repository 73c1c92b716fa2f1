// Package npz reads and writes arrays in NumPy's formats: one array in a .npy file, several in a .npz archive. Other
// programs exchange samples and feature statistics in these files.
//
// Files are not trusted. An array whose size does not match its shape is refused before memory is allocated. The
// expansion of compressed members is bounded. Arrays of Python objects are never loaded, because loading them executes
// code.
//
// Note: codeberg.org/sbinet/npyio was rejected. It allocates as much memory as a header claims, panics on a header
// without a newline, and reads a truncated file as if zeros followed.
package npz

import (
	"archive/zip"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"vapo/lib/failure"
	"vapo/lib/program"
)

// Magic numbers of the two formats.
const (
	magicZip = "PK\x03\x04"
	magicNPY = "\x93NUMPY"
)

// Limits for a file.
const (
	maxArrays = 4096
	maxFile   = 64 << 30
	// A compressed array may expand to freeSize bytes, or to maxRatio times its compressed size if that is larger. Images
	// and statistics rarely compress to less than a tenth.
	freeSize = 16 << 20
	maxRatio = 64
)

// MissingError means that a file has no array with the requested name.
type MissingError struct {
	Name  string
	Names []string // names of the arrays that the file has
}

func (e *MissingError) Error() string {
	names := strings.Join(e.Names[:min(len(e.Names), 8)], ", ")
	return fmt.Sprintf("no array %s; the arrays are: %.300s", e.Name, cmp.Or(names, "none"))
}

// File is an open file. Arrays are read when they are requested. A File must not be used by several goroutines at once.
type File struct {
	arrays map[string]member
	closer io.Closer
}

// member is one array.
type member struct {
	open func() (io.ReadCloser, error)
	size int64 // size in bytes, including the header
}

// IsFile reports whether a file begins like a .npy file or a zip archive.
func IsFile(name string) bool {
	return Begins(bytes.NewReader(program.Head(name, len(magicNPY))))
}

// Begins reports whether r begins like a .npy file or a zip archive.
func Begins(r io.ReaderAt) bool {
	head := make([]byte, 6)
	n, _ := r.ReadAt(head, 0) // for an unreadable file, the comparison fails
	return bytes.HasPrefix(head[:n], []byte(magicZip)) || string(head[:n]) == magicNPY
}

// Open opens a file. Its errors do not name the file, so the caller must add the name.
func Open(name string) (*File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	var file *File
	if err == nil {
		file, err = parse(f, info.Size())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	file.closer = f
	return file, nil
}

// Close closes a file that Open opened.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	return f.closer.Close()
}

// parse is like Open, for a reader r of size bytes. The array of a .npy file gets the name arr_0.
func parse(r io.ReaderAt, size int64) (*File, error) {
	if size > maxFile {
		return nil, fmt.Errorf("it has %d bytes; at most %d are read", size, int64(maxFile))
	}
	f := &File{arrays: map[string]member{}}
	head := make([]byte, min(6, size))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case string(head) == magicNPY:
		open := func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(r, 0, size)), nil }
		f.arrays["arr_0"] = member{open, size}
		return f, nil
	case !bytes.HasPrefix(head, []byte(magicZip)):
		return nil, errors.New("not a NumPy file: it begins neither like .npy nor like .npz")
	}
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, failure.New(failure.Input, cutHint,
			"not a readable NumPy archive: it is truncated or damaged: %w", err)
	}
	for _, e := range z.File {
		name, ok := strings.CutSuffix(e.Name, ".npy")
		if !ok || strings.HasPrefix(name, "__MACOSX/") { // metadata of the macOS Finder
			continue
		}
		if _, twice := f.arrays[name]; twice {
			return nil, fmt.Errorf("the archive contains %.100q twice", name)
		}
		if len(f.arrays) == maxArrays {
			return nil, fmt.Errorf("the archive contains more than %d arrays", maxArrays)
		}
		open := func() (io.ReadCloser, error) { return openMember(e, size) }
		f.arrays[name] = member{open, int64(min(e.UncompressedSize64, 1<<62))}
	}
	if len(f.arrays) == 0 {
		return nil, errors.New("not a NumPy archive: it contains no array (a member named *.npy)")
	}
	return f, nil
}

// openMember opens a member of an archive. size is the length of the archive in bytes; the sizes that the member claims
// are checked against it first.
func openMember(e *zip.File, size int64) (io.ReadCloser, error) {
	large, packed := e.UncompressedSize64, e.CompressedSize64
	switch {
	case packed > uint64(size):
		return nil, fmt.Errorf("it claims to take %d bytes of an archive of %d", packed, size)
	case e.Method == zip.Store && large != packed:
		return nil, fmt.Errorf("it is stored uncompressed, but claims to hold %d bytes in %d", large, packed)
	case e.Method != zip.Store && e.Method != zip.Deflate:
		return nil, failure.New(failure.Input, "save it with numpy.savez",
			"it is compressed with method %d, which numpy.savez and numpy.savez_compressed do not use", e.Method)
	case e.Method == zip.Deflate && large > freeSize && large/maxRatio > packed:
		return nil, failure.New(failure.Input, "save it with numpy.savez, uncompressed",
			"it would grow from %d bytes to %d, more than %d times", packed, large, maxRatio)
	}
	return e.Open()
}

// Names returns the names of the arrays, sorted.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.arrays)) }

// Header returns the header of an array. It fails with a *MissingError if there is no such array.
func (f *File) Header(name string) (*Header, error) {
	_, h, err := f.start(name)
	return h, err
}

// start opens an array, reads its header and returns a reader at the first element. The caller must close the reader.
func (f *File) start(name string) (io.ReadCloser, *Header, error) {
	m, ok := f.arrays[name]
	if !ok {
		return nil, nil, &MissingError{name, f.Names()}
	}
	r, err := m.open()
	if err != nil {
		return nil, nil, fmt.Errorf("array %.100s: %w", name, err)
	}
	h, n, err := readHeader(r)
	if want := int64(0); err == nil {
		if want = h.count * h.kind.size; want != m.size-n {
			hint := cutHint
			if want < m.size-n {
				hint = "save each array with one call of numpy.save, or all with numpy.savez"
			}
			err = failure.New(failure.Input, hint, "%d bytes of data, expected %d for shape %v of %s",
				m.size-n, want, h.Shape, h.Dtype)
		}
	}
	if err != nil {
		r.Close()
		return nil, nil, fmt.Errorf("array %.100s: %w", name, err)
	}
	return r, h, nil
}
