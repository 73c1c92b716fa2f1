// Package tensorfile stores labelled batches of tensors as Arrow IPC files. The stages of vapo exchange data sets,
// samples and checkpoints in this form.
//
// A table is a set of named columns with the same number of rows. Each row of a column is a scalar or a tensor; all
// rows of a column have the same shape. Tensors have Arrow's canonical extension type arrow.fixed_shape_tensor, so any
// other Arrow implementation (pyarrow, polars, Arrow JS) can read the files. Implementations without this extension see
// fixed-size lists.
//
// Files are addressed by the digest of their bytes, so Write is deterministic: the same table gives the same bytes.
// Files come from shared storage, so the reader trusts nothing: it checks each size that a file claims against the
// actual size of the file before it allocates memory.
package tensorfile

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
)

// Column is one named column of a table.
type Column struct {
	Name string
	// Shape is the shape of one row; it is empty for scalars. Every dimension is at least 1.
	Shape []int
	// Data is a []uint8, []int64, []float32 or []float64 of Rows x product(Shape) values, row-major.
	Data any
	// Range, if not nil, holds the smallest and the largest value that the data may have, for example [-1, 1] for
	// floating-point images. It is stored with the column but not checked.
	Range *[2]float64
}

// Table is a set of columns with the same number of rows, and string metadata.
type Table struct {
	Rows    int
	Columns []Column
	Meta    map[string]string
}

// Element is the type of one value of a column.
type Element interface {
	uint8 | int64 | float32 | float64
}

// MissingColumnError means that a table has no column with the requested name.
type MissingColumnError struct {
	Name string
	Have []string
}

func (e *MissingColumnError) Error() string {
	return fmt.Sprintf("no column %q (columns: %s)", e.Name, strings.Join(e.Have, ", "))
}

// Column returns the column of that name, or a *MissingColumnError.
func (t *Table) Column(name string) (*Column, error) {
	have := make([]string, 0, len(t.Columns))
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return &t.Columns[i], nil
		}
		have = append(have, t.Columns[i].Name)
	}
	return nil, &MissingColumnError{Name: name, Have: have}
}

// Values returns the data of the column as a []T, without copying. It fails if the column has another element type.
func Values[T Element](c *Column) ([]T, error) {
	v, ok := c.Data.([]T)
	if !ok {
		return nil, c.wrongType(elementName([]T(nil)))
	}
	return v, nil
}

// Size returns the number of values in one row of the column: the product of Shape, which is 1 for scalars.
func (c *Column) Size() int {
	n, _ := product(c.Shape)
	return n
}

func (c *Column) wrongType(want string) error {
	return fmt.Errorf("column %q holds %s, expected %s", c.Name, elementName(c.Data), want)
}

// elementName returns the name of the element type of a column's data, such as "uint8".
func elementName(data any) string { return strings.TrimPrefix(fmt.Sprintf("%T", data), "[]") }

// product returns the product of the dimensions. It also reports whether every dimension is positive and the product
// fits into an int32, the length type of Arrow's fixed-size lists.
func product(shape []int) (int, bool) {
	n := 1
	for _, d := range shape {
		if d <= 0 || n > math.MaxInt32/d {
			return 0, false
		}
		n *= d
	}
	return n, true
}

// length returns the number of values in a column's data. ok is false for a type that a column cannot hold.
func length(data any) (n int, ok bool) {
	switch data.(type) {
	case []uint8, []int64, []float32, []float64:
		return reflect.ValueOf(data).Len(), true
	}
	return 0, false
}

// makeData returns n zero values with the same slice type as like.
func makeData(like any, n int) any { return reflect.MakeSlice(reflect.TypeOf(like), n, n).Interface() }

// slice returns the values [from, to) of a column's data.
func slice(data any, from, to int) any { return reflect.ValueOf(data).Slice(from, to).Interface() }

// validate checks that Write can write the table. Its error names the invalid column.
func (t *Table) validate() error {
	if t.Rows < 0 {
		return fmt.Errorf("table has %d rows", t.Rows)
	}
	if len(t.Columns) == 0 {
		return errors.New("table has no columns")
	}
	seen := make(map[string]bool, len(t.Columns))
	for i := range t.Columns {
		c := &t.Columns[i]
		if c.Name == "" {
			return fmt.Errorf("column %d has no name", i)
		}
		if seen[c.Name] {
			return fmt.Errorf("column %q appears twice", c.Name)
		}
		seen[c.Name] = true
		n, ok := length(c.Data)
		if !ok {
			return c.wrongType("uint8, int64, float32 or float64")
		}
		size, ok := product(c.Shape)
		if !ok {
			return fmt.Errorf("column %q has shape %v: every dimension must be positive and the product below 2^31",
				c.Name, c.Shape)
		}
		if n/size != t.Rows || n%size != 0 {
			return fmt.Errorf("column %q has %d values, expected %d rows of shape %v", c.Name, n, t.Rows, c.Shape)
		}
	}
	return nil
}
