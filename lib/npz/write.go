package npz

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Writer writes an uncompressed archive, like numpy.savez. The bytes depend only on the arrays: there are no
// timestamps.
type Writer struct {
	zip     *zip.Writer
	pending *pending
}

// pending is the array that is being written.
type pending struct {
	name string
	w    io.Writer
	left int64 // bytes still to be written
}

func (p *pending) Write(b []byte) (int, error) {
	if int64(len(b)) > p.left {
		return 0, fmt.Errorf("array %s: %d bytes more than its shape needs", p.name, int64(len(b))-p.left)
	}
	n, err := p.w.Write(b)
	p.left -= int64(n)
	return n, err
}

// NewWriter begins an archive.
func NewWriter(w io.Writer) *Writer { return &Writer{zip: zip.NewWriter(w)} }

// Add writes an array with the given shape. values are in row-major order. A dimension may be 0. Each name may occur
// only once.
func Add[T Number](w *Writer, name string, shape []int, values []T) error {
	a, err := Create[T](w, name, shape)
	if err != nil {
		return err
	}
	return a.Append(values)
}

// Array is an array that is being written in parts.
type Array[T Number] struct{ p *pending }

// Create begins an array whose elements follow in calls to Append, in row-major order. All elements must be written
// before the next array begins.
func Create[T Number](w *Writer, name string, shape []int) (*Array[T], error) {
	if err := w.complete(); err != nil {
		return nil, err
	}
	var zero T
	dtype := map[string]string{"uint8": "|u1", "int64": "<i8", "float32": "<f4", "float64": "<f8"}[fmt.Sprintf("%T", zero)]
	count := int64(binary.Size(zero))
	for _, d := range shape {
		if d < 0 || d > 0 && count > maxFile/int64(d) {
			return nil, fmt.Errorf("array %s: invalid shape %v", name, shape)
		}
		count *= int64(d)
	}
	head, err := formatHeader(dtype, shape)
	var out io.Writer
	if err == nil {
		out, err = w.zip.CreateHeader(&zip.FileHeader{Name: name + ".npy", Method: zip.Store})
	}
	if err == nil {
		_, err = out.Write(head)
	}
	if err != nil {
		return nil, fmt.Errorf("array %s: %w", name, err)
	}
	w.pending = &pending{name, out, count}
	return &Array[T]{w.pending}, nil
}

// Append writes the next elements.
func (a *Array[T]) Append(values []T) error {
	if b, ok := any(values).([]uint8); ok {
		_, err := a.p.Write(b)
		return err
	}
	const chunk = 1 << 15
	var raw []byte
	for at := 0; at < len(values); at += chunk {
		var err error
		if raw, err = binary.Append(raw[:0], binary.LittleEndian, values[at:min(at+chunk, len(values))]); err != nil {
			return err
		}
		if _, err := a.p.Write(raw); err != nil {
			return err
		}
	}
	return nil
}

// complete returns an error if the last array lacks elements.
func (w *Writer) complete() error {
	if w.pending != nil && w.pending.left > 0 {
		return fmt.Errorf("array %s: %d bytes less than its shape needs", w.pending.name, w.pending.left)
	}
	return nil
}

// Close completes the archive. It does not close the underlying writer.
func (w *Writer) Close() error { return errors.Join(w.complete(), w.zip.Close()) }
