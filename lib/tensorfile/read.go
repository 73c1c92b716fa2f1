package tensorfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
)

// FormatError states why a file is not a valid tensor file: the file is truncated, damaged or in another format, or it
// uses a part of Arrow that vapo does not support.
type FormatError struct {
	Path   string // empty if the content does not come from a file
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

func formatError(format string, args ...any) *FormatError {
	return &FormatError{Reason: fmt.Sprintf(format, args...)}
}

// Read reads the tensor file at path. Errors in the content are a *FormatError that names the path.
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

// Decode reads a tensor file of size bytes. It accepts the output of Write, and files from other Arrow implementations
// that keep to the same subset of the format: the file format, little-endian, uncompressed, without nulls or
// dictionaries. Columns hold uint8, int64, float32 or float64, as plain values, fixed-size lists or fixed-shape
// tensors.
//
// Whatever the file contains, Decode uses at most a small multiple of size in memory. Errors in the content are a
// *FormatError; errors of r are returned too.
func Decode(r io.ReaderAt, size int64) (*Table, error) {
	f, err := openFile(r, size, true)
	if err != nil {
		return nil, err
	}
	return f.Slice(0, f.Rows())
}

// newTable returns a table with the columns of the schema. All values are zero.
func newTable(schema *arrow.Schema, rows int) (*Table, error) {
	meta := schema.Metadata()
	t := &Table{Rows: rows, Meta: meta.ToMap()}
	seen := map[string]bool{}
	for _, f := range schema.Fields() {
		if f.Name == "" || seen[f.Name] {
			return nil, formatError("column name %q is empty or appears twice", f.Name)
		}
		seen[f.Name] = true
		c := Column{Name: f.Name}
		elem := f.Type
		if tensor, ok := elem.(*fixedShapeTensor); ok {
			c.Shape, elem = slices.Clone(tensor.shape), tensor.Storage
		}
		if list, ok := elem.(*arrow.FixedSizeListType); ok {
			if c.Shape == nil {
				c.Shape = []int{int(list.Len())}
			}
			elem = list.Elem()
		}
		n := rows * c.Size()
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
			return nil, formatError("column %q holds %v, expected uint8, int64, float32 or float64", f.Name, f.Type)
		}
		if text, ok := f.Metadata.GetValue(rangeKey); ok {
			var r []float64
			if err := json.Unmarshal([]byte(text), &r); err != nil || len(r) != 2 {
				return nil, formatError("column %q has range %q, expected [low, high]", f.Name, text)
			}
			c.Range = &[2]float64{r[0], r[1]}
		}
		t.Columns = append(t.Columns, c)
	}
	return t, nil
}
