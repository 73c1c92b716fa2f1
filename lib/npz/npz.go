// Package npz reads and writes arrays as NumPy saves them: one in a .npy file, several in a .npz archive. It is the form in
// which other programs exchange samples and the statistics of features.
//
// A header may claim any size. Here an array is of exactly the size that its shape says, or it is refused before any
// memory is taken for it; compressed members may grow so far and no further; arrays of Python objects, which are programs, are
// never loaded.
//
// Note: codeberg.org/sbinet/npyio was tried. It makes room for what a header claims, panics on a header without a newline
// and takes a file that ends early for one with zeros, which data of unknown origin must not decide.
package npz

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Magics of the two kinds of files.
const (
	magicZip = "PK\x03\x04"
	magicNPY = "\x93NUMPY"
)

// Bounds on what a file may ask for.
const (
	maxArrays = 4096
	maxFile   = 64 << 30
	// A compressed array may be freeSize large, and above that maxRatio times as large as it is compressed. Images and
	// statistics shrink to a tenth at best.
	freeSize = 16 << 20
	maxRatio = 64
)

// MissingError says that a file has no array of a name.
type MissingError struct {
	Name  string
	Names []string // what it has
}

func (e *MissingError) Error() string {
	names := strings.Join(e.Names[:min(len(e.Names), 8)], ", ")
	if names == "" {
		names = "none"
	}
	return fmt.Sprintf("no array %s; the arrays are: %.300s", e.Name, names)
}

// File is a file whose arrays have been found, but not yet read. It is used by one goroutine at a time.
type File struct {
	arrays map[string]member
	names  []string
	closer io.Closer
}

// member is one array: how to read it and how many bytes it has, header included.
type member struct {
	open func() (io.ReadCloser, error)
	size int64
}

// IsFile reports whether a file begins as .npy files and zip archives do.
func IsFile(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	return Begins(f)
}

// Begins reports whether r begins as .npy files and zip archives do.
func Begins(r io.ReaderAt) bool {
	head := make([]byte, 6)
	n, _ := r.ReadAt(head, 0) // what cannot be read does not begin so
	return bytes.HasPrefix(head[:n], []byte(magicZip)) || string(head[:n]) == magicNPY
}

// Open opens a file. The error names what is wrong with it, but not the file.
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
		file, err = Parse(f, info.Size())
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

// Parse is Open on size bytes, from which arrays are read when they are asked for. A single array is named arr_0.
func Parse(r io.ReaderAt, size int64) (*File, error) {
	if size > maxFile {
		return nil, fmt.Errorf("%d bytes; at most %d are read", size, int64(maxFile))
	}
	f := &File{arrays: map[string]member{}}
	head := make([]byte, min(6, size))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case string(head) == magicNPY:
		open := func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(r, 0, size)), nil }
		f.arrays["arr_0"], f.names = member{open, size}, []string{"arr_0"}
		return f, nil
	case !bytes.HasPrefix(head, []byte(magicZip)):
		return nil, errors.New("not a NumPy file: it begins neither like .npy nor like .npz")
	}
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("not a NumPy archive: it is truncated or damaged: %w", err)
	}
	for _, e := range z.File {
		name, ok := strings.CutSuffix(e.Name, ".npy")
		if !ok {
			continue
		}
		if _, twice := f.arrays[name]; twice {
			return nil, fmt.Errorf("the archive holds %.100q twice", name)
		}
		if len(f.names) == maxArrays {
			return nil, fmt.Errorf("the archive holds more than %d arrays", maxArrays)
		}
		f.arrays[name] = member{func() (io.ReadCloser, error) { return openMember(e, size) }, int64(min(e.UncompressedSize64, 1<<62))}
		f.names = append(f.names, name)
	}
	if len(f.names) == 0 {
		return nil, errors.New("not a NumPy archive: it holds no array (a member named *.npy)")
	}
	slices.Sort(f.names)
	return f, nil
}

// openMember opens an entry of an archive of size bytes once its sizes are believable.
func openMember(e *zip.File, size int64) (io.ReadCloser, error) {
	large, packed := e.UncompressedSize64, e.CompressedSize64
	switch {
	case packed > uint64(size):
		return nil, fmt.Errorf("it claims %d bytes of an archive of %d", packed, size)
	case e.Method == zip.Store && large != packed:
		return nil, fmt.Errorf("it is stored, but claims %d bytes in %d", large, packed)
	case e.Method != zip.Store && e.Method != zip.Deflate:
		return nil, fmt.Errorf("it is compressed by method %d; numpy.savez and numpy.savez_compressed write what is read here", e.Method)
	case e.Method == zip.Deflate && large > freeSize && large/maxRatio > packed:
		return nil, fmt.Errorf("it would grow from %d bytes to %d, more than %d times; save it with numpy.savez, uncompressed", packed, large, maxRatio)
	}
	return e.Open()
}

// Names lists the arrays, sorted.
func (f *File) Names() []string { return slices.Clone(f.names) }

// Header returns an array's header, or a *MissingError.
func (f *File) Header(name string) (*Header, error) {
	_, h, err := f.start(name)
	return h, err
}

// start opens an array and reads its header; the reader, which the caller must close unless there is an error, stands at
// the first element.
func (f *File) start(name string) (io.ReadCloser, *Header, error) {
	m, ok := f.arrays[name]
	if !ok {
		return nil, nil, &MissingError{name, f.names}
	}
	r, err := m.open()
	if err != nil {
		return nil, nil, fmt.Errorf("array %.100s: %w", name, err)
	}
	h, n, err := readHeader(r)
	if err == nil && h.count*h.kind.size != m.size-n {
		err = fmt.Errorf("%d bytes of data, expected %d for shape %v of %s", m.size-n, h.count*h.kind.size, h.Shape, h.Dtype)
	}
	if err != nil {
		r.Close()
		return nil, nil, fmt.Errorf("array %.100s: %w", name, err)
	}
	return r, h, nil
}
