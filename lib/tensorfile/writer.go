package tensorfile

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
)

// Writer writes a table whose rows arrive in parts, so that the table need not fit into memory. It holds at most
// BatchRows rows. The bytes are the same as if Write had written all rows at once, for any division into parts.
type Writer struct {
	file    *ipc.FileWriter
	schema  *arrow.Schema
	pending Table // rows of a batch that is not complete
	rows    int
	err     error // the first error; the Writer writes nothing after it
	closed  bool
}

// NewWriter begins a file. like defines the columns (names, shapes, element types, ranges) and the metadata; its rows
// are not written. The file is complete only after Close.
func NewWriter(w io.Writer, like *Table) (out *Writer, err error) {
	defer rescue(&err)
	empty := Table{Columns: make([]Column, len(like.Columns)), Meta: maps.Clone(like.Meta)}
	for i, c := range like.Columns {
		c.Shape = slices.Clone(c.Shape)
		if _, ok := length(c.Data); ok { // validate reports data of other types
			c.Data = makeData(c.Data, 0)
		}
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

// Append writes the rows of t after all earlier rows. The columns of t must have the same names, shapes and element
// types, in the same order, as those of like in NewWriter; the metadata of t is ignored. The caller may reuse t after
// Append returns. After an error the file is invalid.
func (w *Writer) Append(t *Table) error { return w.append(t, false) }

// append implements Append. If last is true, t holds the last rows, and an incomplete batch is written at once without
// a copy.
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
		to := min(from+BatchRows-w.pending.Rows, t.Rows)
		if w.pending.Rows == 0 && (last || to == from+BatchRows) { // these rows form a batch; no copy is needed
			if err := w.batch(t, from, to); err != nil {
				return err
			}
			from = to
			continue
		}
		for i := range w.pending.Columns {
			c := &w.pending.Columns[i]
			size := c.Size()
			c.Data = extend(c.Data, slice(t.Columns[i].Data, from*size, to*size), BatchRows*size)
		}
		w.pending.Rows += to - from
		from = to
		if w.pending.Rows == BatchRows {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close writes the pending rows and the footer. It does not close the underlying writer.
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

// fits returns an error if the columns of t differ from the columns of the writer.
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
			return fmt.Errorf("column %d is %q of shape %v, expected %q of %v",
				i, c.Name, c.Shape, want.Name, want.Shape)
		}
		if want := elementName(want.Data); elementName(c.Data) != want {
			return c.wrongType(want)
		}
	}
	return nil
}

func (w *Writer) flush() error {
	if err := w.batch(&w.pending, 0, w.pending.Rows); err != nil {
		return err
	}
	for i := range w.pending.Columns {
		w.pending.Columns[i].Data = slice(w.pending.Columns[i].Data, 0, 0) // keeps the memory for the next batch
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

// extend appends the values of src to dst, which has the same type and will hold at most limit values. Unlike the
// builtin append, it never reserves memory for more than limit values: a batch of large images can take up much of the
// memory.
func extend(dst, src any, limit int) any {
	d, s := reflect.ValueOf(dst), reflect.ValueOf(src)
	if n := d.Len() + s.Len(); n > d.Cap() {
		grown := reflect.MakeSlice(d.Type(), d.Len(), max(n, min(2*d.Cap(), limit)))
		reflect.Copy(grown, d)
		d = grown
	}
	return reflect.AppendSlice(d, s).Interface()
}

// rescue turns a panic into an error, because Arrow panics on what it considers a programming error.
func rescue(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("tensorfile: write: %v", p)
	}
}
