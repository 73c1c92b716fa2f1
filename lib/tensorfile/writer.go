package tensorfile

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
)

// Writer writes a table whose rows come a few at a time, so that the table need not fit into memory: it holds at most
// BatchRows rows. Its bytes are those that Write writes for all rows together, however they were divided.
type Writer struct {
	file    *ipc.FileWriter
	schema  *arrow.Schema
	pending Table // fewer than BatchRows rows that fill no batch yet
	rows    int
	err     error // the first error; nothing is written after it
	closed  bool
}

// NewWriter begins a file with the columns (names, shapes, element types, ranges) and metadata of like, whose rows are not
// written. The file is complete after Close.
func NewWriter(w io.Writer, like *Table) (out *Writer, err error) {
	defer rescue(&err)
	empty := Table{Columns: make([]Column, len(like.Columns)), Meta: maps.Clone(like.Meta)}
	for i, c := range like.Columns {
		c.Shape = slices.Clone(c.Shape)
		c.Data = none(c.Data)
		empty.Columns[i] = c
	}
	if err := empty.validate(); err != nil {
		return nil, fmt.Errorf("tensorfile: write: %w", err)
	}
	schema, err := schemaOf(&empty)
	if err != nil {
		return nil, fmt.Errorf("tensorfile: write: %w", err)
	}
	file, err := ipc.NewFileWriter(&counter{w: w}, ipc.WithSchema(schema))
	if err != nil {
		return nil, fmt.Errorf("tensorfile: write: %w", err)
	}
	return &Writer{file: file, schema: schema, pending: empty}, nil
}

// Append writes the rows of t after those before. Its columns must have the names, shapes and element types of the writer's,
// in that order; its metadata is not looked at. t may be used again when Append has returned. After an error the file
// is void.
func (w *Writer) Append(t *Table) error { return w.append(t, false) }

// append is Append; of the last rows there are, nothing has to wait for others, and so nothing is copied.
func (w *Writer) append(t *Table, last bool) (err error) {
	if w.err != nil {
		return w.err
	}
	if w.closed {
		return errors.New("tensorfile: write: append after close")
	}
	defer func() { w.err = err }()
	defer rescue(&err)
	if err := w.fits(t); err != nil {
		return fmt.Errorf("tensorfile: write rows %d..: %w", w.rows, err)
	}
	for from := 0; from < t.Rows; {
		if to := min(from+BatchRows, t.Rows); w.pending.Rows == 0 && (last || to == from+BatchRows) { // a batch as it is
			if err := w.batch(t, from, to); err != nil {
				return err
			}
			from = to
			continue
		}
		n := min(BatchRows-w.pending.Rows, t.Rows-from)
		for i := range w.pending.Columns {
			c := &w.pending.Columns[i]
			c.Data = join(c.Data, slice(t.Columns[i].Data, from*c.Size(), (from+n)*c.Size()), BatchRows*c.Size())
		}
		w.pending.Rows += n
		from += n
		if w.pending.Rows == BatchRows {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close writes the rows that wait and the end of the file. It does not close what the file is written to.
func (w *Writer) Close() (err error) {
	if w.err != nil || w.closed {
		return w.err
	}
	w.closed = true
	defer func() { w.err = err }()
	defer rescue(&err)
	if w.pending.Rows > 0 {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if err := w.file.Close(); err != nil {
		return fmt.Errorf("tensorfile: write: %w", err)
	}
	return nil
}

// fits returns an error where rows of t are no rows of the writer's table.
func (w *Writer) fits(t *Table) error {
	if err := t.validate(); err != nil {
		return err
	}
	if len(t.Columns) != len(w.pending.Columns) {
		return fmt.Errorf("%d columns, expected %d", len(t.Columns), len(w.pending.Columns))
	}
	for i, c := range t.Columns {
		want := w.pending.Columns[i]
		if c.Name != want.Name || !slices.Equal(c.Shape, want.Shape) {
			return fmt.Errorf("column %d is %q of shape %v, expected %q of %v", i, c.Name, c.Shape, want.Name, want.Shape)
		}
		if got, want := elementName(c.Data), elementName(want.Data); got != want {
			return &TypeError{Column: c.Name, Want: want, Got: got}
		}
	}
	return nil
}

func (w *Writer) flush() error {
	if err := w.batch(&w.pending, 0, w.pending.Rows); err != nil {
		return err
	}
	for i := range w.pending.Columns {
		w.pending.Columns[i].Data = slice(w.pending.Columns[i].Data, 0, 0) // its memory serves the next batch
	}
	w.pending.Rows = 0
	return nil
}

func (w *Writer) batch(t *Table, from, to int) error {
	if err := writeBatch(w.file, w.schema, t, from, to); err != nil {
		return fmt.Errorf("tensorfile: write rows %d..: %w", w.rows, err)
	}
	w.rows += to - from
	return nil
}

// none returns no values of data's type, with no memory of data's; of data that no column can hold, the data.
func none(data any) any {
	switch data.(type) {
	case []uint8:
		return []uint8{}
	case []int64:
		return []int64{}
	case []float32:
		return []float32{}
	case []float64:
		return []float64{}
	}
	return data
}

// slice returns values [from, to) of a column's data.
func slice(data any, from, to int) any {
	switch d := data.(type) {
	case []uint8:
		return d[from:to]
	case []int64:
		return d[from:to]
	case []float32:
		return d[from:to]
	case []float64:
		return d[from:to]
	}
	panic(fmt.Sprintf("tensorfile: column of %T passed validation", data))
}

// join appends the values of src to dst, of the same type, which is to grow to most values at most.
func join(dst, src any, most int) any {
	switch d := dst.(type) {
	case []uint8:
		return extend(d, src.([]uint8), most)
	case []int64:
		return extend(d, src.([]int64), most)
	case []float32:
		return extend(d, src.([]float32), most)
	case []float64:
		return extend(d, src.([]float64), most)
	}
	panic(fmt.Sprintf("tensorfile: column of %T passed validation", dst))
}

// extend is append that reserves no more than is needed in the end: a batch of large images fills much of the memory.
func extend[T Element](dst, src []T, most int) []T {
	if n := len(dst) + len(src); n > cap(dst) {
		dst = append(make([]T, 0, max(n, min(2*cap(dst), most))), dst...)
	}
	return append(dst, src...)
}

// rescue makes an error of a panic: arrow panics on what it takes for a programming error.
func rescue(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("tensorfile: write: %v", p)
	}
}
