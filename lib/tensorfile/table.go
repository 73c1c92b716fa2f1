// Package tensorfile stores labelled batches of tensors as Arrow IPC files, the form in which the stages of vapo
// exchange data sets, samples and checkpoints.
//
// A table is a set of named columns of equal row count; a row of a column is a scalar or a tensor of one fixed shape.
// Tensors are stored under Arrow's canonical extension type arrow.fixed_shape_tensor, so any other Arrow implementation
// (pyarrow, polars, Arrow JS) can read the files; those that do not support the extension see fixed-size lists.
//
// Files are addressed by the digest of their bytes, so Write is deterministic: the same table gives the same bytes.
// Files come from shared storage, so reading trusts nothing: what a file claims is checked against its actual size
// before memory for it is allocated.
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
	// Shape of one row; empty for scalars. Every dimension is at least 1.
	Shape []int
	// Data is a []uint8, []int64, []float32 or []float64 of Rows x product(Shape) values, row-major.
	Data any
	// Range, if not nil, holds the least and greatest value the data may take: [-1, 1] for images as floats, for example.
	// It is stored with the column and not checked.
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

// MissingColumnError means that a table has no column of the requested name.
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

// Values returns the column's data as a slice of T, without copying. It fails if the column holds another type.
func Values[T Element](c *Column) ([]T, error) {
	v, ok := c.Data.([]T)
	if !ok {
		return nil, c.wrongType(elementName([]T(nil)))
	}
	return v, nil
}

// Size returns the number of values of one row of the column: the product of Shape, 1 for scalars.
func (c *Column) Size() int {
	n, _ := product(c.Shape)
	return n
}

func (c *Column) wrongType(want string) error {
	return fmt.Errorf("column %q holds %s, expected %s", c.Name, elementName(c.Data), want)
}

// elementName returns the name of the type of a column's values.
func elementName(data any) string { return strings.TrimPrefix(fmt.Sprintf("%T", data), "[]") }

// product returns the product of the dimensions, and whether every one is positive and the product fits the list size
// of an Arrow fixed-size list (an int32).
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

// length returns the number of values of a column's data, or ok=false for a type that a column cannot hold.
func length(data any) (n int, ok bool) {
	switch data.(type) {
	case []uint8, []int64, []float32, []float64:
		return reflect.ValueOf(data).Len(), true
	}
	return 0, false
}

// makeData returns n zero values of the type of a column's data.
func makeData(like any, n int) any { return reflect.MakeSlice(reflect.TypeOf(like), n, n).Interface() }

// slice returns the values [from, to) of a column's data.
func slice(data any, from, to int) any { return reflect.ValueOf(data).Slice(from, to).Interface() }

// validate checks what Write requires of a table. Its error names the offending column.
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
