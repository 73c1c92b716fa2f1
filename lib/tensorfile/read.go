package tensorfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// FormatError says why a file is not a tensor file: it is truncated, damaged, of another format, or uses a part of
// Arrow that vapo does not read.
type FormatError struct {
	Path   string // empty where the bytes came from no file
	Reason string
	Err    error // cause, may be nil
}

func (e *FormatError) Error() string {
	s := "not a readable tensor file: " + e.Reason
	if e.Path != "" {
		s = e.Path + ": " + s
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *FormatError) Unwrap() error { return e.Err }

// Read reads the tensor file at path. Errors of the content are a *FormatError naming the path.
func Read(path string) (*Table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("tensorfile: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("tensorfile: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, &FormatError{Path: path, Reason: "not a regular file"}
	}
	t, err := Decode(f, info.Size())
	var fe *FormatError
	if errors.As(err, &fe) {
		fe.Path = path
		return nil, fe
	}
	return t, err
}

// Decode reads a tensor file of size bytes. It accepts what Write writes and what other Arrow implementations
// write of the same kind: the file format, little-endian, uncompressed, without nulls or dictionaries, with columns of
// uint8, int64, float32 or float64 as plain values, fixed-size lists or fixed-shape tensors.
//
// Memory is bounded by a small multiple of size, whatever the bytes claim. Errors are a *FormatError, or those
// of r.
func Decode(r io.ReaderAt, size int64) (t *Table, err error) {
	rows, err := verify(r, size)
	if err != nil {
		return nil, err
	}
	// Everything arrow is known to trust has been checked; what is left is a defect of this package or of arrow,
	// and a damaged file must not bring the process down for it.
	defer func() {
		if p := recover(); p != nil {
			t, err = nil, &FormatError{Reason: fmt.Sprint("arrow: ", p)}
		}
	}()
	fr, err := ipc.NewFileReader(io.NewSectionReader(r, 0, size), ipc.WithAllocator(memory.NewGoAllocator()))
	if err != nil {
		return nil, &FormatError{Reason: "arrow", Err: err}
	}
	defer fr.Close()
	// A single batch (a checkpoint, above all) is not copied out of the batch: arrow has read it into
	// garbage-collected memory that nothing else uses.
	alias := fr.NumRecords() == 1
	t, err = newTable(fr.Schema(), rows, !alias)
	if err != nil {
		return nil, err
	}
	row := 0
	for i := range fr.NumRecords() {
		rec, err := fr.RecordAt(i)
		if err != nil {
			return nil, &FormatError{Reason: fmt.Sprintf("record batch %d", i), Err: err}
		}
		for j := range t.Columns {
			if err := takeRows(&t.Columns[j], row, rec.Column(j), alias); err != nil {
				return nil, &FormatError{Reason: fmt.Sprintf("record batch %d", i), Err: err}
			}
		}
		row += int(rec.NumRows())
		rec.Release()
	}
	if row != rows {
		return nil, &FormatError{Reason: fmt.Sprintf("%d rows found, %d announced", row, rows)}
	}
	return t, nil
}

// newTable returns a table of the schema, with room for its rows if asked for.
func newTable(schema *arrow.Schema, rows int, room bool) (*Table, error) {
	t := &Table{Rows: rows, Meta: map[string]string{}}
	md := schema.Metadata()
	for i, k := range md.Keys() {
		t.Meta[k] = md.Values()[i]
	}
	for _, f := range schema.Fields() {
		c := Column{Name: f.Name}
		if f.Name == "" || slices.ContainsFunc(t.Columns, func(o Column) bool { return o.Name == f.Name }) {
			return nil, &FormatError{Reason: fmt.Sprintf("column name %q is empty or appears twice", f.Name)}
		}
		elem := f.Type
		if tensor, ok := elem.(*FixedShapeTensor); ok {
			c.Shape, elem = tensor.Shape(), tensor.Storage
		}
		if list, ok := elem.(*arrow.FixedSizeListType); ok {
			if c.Shape == nil {
				c.Shape = []int{int(list.Len())}
			}
			elem = list.Elem()
		}
		n := 0
		if room {
			n = rows * c.Size()
		}
		switch elem.ID() {
		case arrow.UINT8:
			c.Data = make([]uint8, n)
		case arrow.INT64:
			c.Data = make([]int64, n)
		case arrow.FLOAT32:
			c.Data = make([]float32, n)
		case arrow.FLOAT64:
			c.Data = make([]float64, n)
		default:
			return nil, &FormatError{Reason: fmt.Sprintf("column %q holds %v, expected uint8, int64, float32 or float64", f.Name, f.Type)}
		}
		if i := f.Metadata.FindKey(rangeKey); i >= 0 {
			var r []float64
			if err := json.Unmarshal([]byte(f.Metadata.Values()[i]), &r); err != nil || len(r) != 2 {
				return nil, &FormatError{Reason: fmt.Sprintf("column %q has range %q, expected [low, high]", f.Name, f.Metadata.Values()[i])}
			}
			c.Range = &[2]float64{r[0], r[1]}
		}
		t.Columns = append(t.Columns, c)
	}
	return t, nil
}

// takeRows makes the values of one batch's array the values of column c from row on: by copying, or, where the batch is
// the whole column, by using the array's own memory.
func takeRows(c *Column, row int, values arrow.Array, alias bool) error {
	if ext, ok := values.(array.ExtensionArray); ok {
		values = ext.Storage()
	}
	rows := values.Len()
	if list, ok := values.(*array.FixedSizeList); ok {
		values = list.ListValues()
	}
	size := c.Size()
	if values.Len() != rows*size || values.NullN() != 0 {
		return fmt.Errorf("column %q has %d values and %d nulls, expected %d rows of shape %v", c.Name, values.Len(), values.NullN(), rows, c.Shape)
	}
	at := row * size
	switch v := values.(type) {
	case *array.Uint8:
		c.Data = take(c.Data.([]uint8), at, v.Uint8Values(), alias)
	case *array.Int64:
		c.Data = take(c.Data.([]int64), at, v.Int64Values(), alias)
	case *array.Float32:
		c.Data = take(c.Data.([]float32), at, v.Float32Values(), alias)
	case *array.Float64:
		c.Data = take(c.Data.([]float64), at, v.Float64Values(), alias)
	}
	return nil
}

func take[T Element](dst []T, at int, src []T, alias bool) []T {
	if alias {
		return slices.Clip(src)
	}
	copy(dst[at:], src)
	return dst
}
