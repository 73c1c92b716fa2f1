// Package tensorfile stores labelled batches of tensors as Arrow IPC files, the form in which the stages of vapo
// exchange data: datasets, samples and checkpoints.
//
// A table is a set of named columns of equal row count; a row of a column is a scalar or a tensor of one fixed shape.
// Tensors are stored under Arrow's canonical extension type arrow.fixed_shape_tensor, so any other Arrow implementation
// (pyarrow, polars, Arrow JS) reads the files: those that do not know the extension see fixed-size lists.
//
// Files are addressed by the digest of their bytes, so Write is deterministic: the same table is the same bytes.
// Files are read from shared storage, so Decode trusts nothing: what a file claims is checked against the bytes that
// are there before anything of that size is allocated.
package tensorfile

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Column is one named column of a table.
type Column struct {
	Name string
	// Shape of one row; empty for scalars. Every dimension is at least 1.
	Shape []int
	// Data is a []uint8, []int64, []float32 or []float64 of Rows x product(Shape) values, row-major.
	Data any
	// Range, where not nil, states the least and greatest value the data may take: [-1, 1] for images as
	// floats, for example. It is a statement carried along, not a check.
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

// MissingColumnError says that a table has no column of the wanted name.
type MissingColumnError struct {
	Name string
	Have []string
}

func (e *MissingColumnError) Error() string {
	return fmt.Sprintf("no column %q (columns: %s)", e.Name, strings.Join(e.Have, ", "))
}

// TypeError says that a column holds values of another type than asked for.
type TypeError struct {
	Column    string
	Want, Got string
}

func (e *TypeError) Error() string {
	return fmt.Sprintf("column %q holds %s, expected %s", e.Column, e.Got, e.Want)
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

// Values returns the column's data as a slice of T, without copying, or a *TypeError.
func Values[T Element](c *Column) ([]T, error) {
	v, ok := c.Data.([]T)
	if !ok {
		return nil, &TypeError{Column: c.Name, Want: elementName([]T(nil)), Got: elementName(c.Data)}
	}
	return v, nil
}

// Size returns the number of values of one row of the column: the product of Shape, 1 for scalars.
func (c *Column) Size() int {
	n, _ := product(c.Shape)
	return n
}

// product returns the product of the dimensions and whether every one is positive and the product fits the list
// size of an Arrow fixed-size list (an int32).
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

func elementName(data any) string {
	switch data.(type) {
	case []uint8:
		return "uint8"
	case []int64:
		return "int64"
	case []float32:
		return "float32"
	case []float64:
		return "float64"
	}
	return fmt.Sprintf("%T", data)
}

// elementWidth returns the size in bytes of one value of data and the number of values, or ok=false for types a
// column cannot hold.
func elementWidth(data any) (width, n int, ok bool) {
	switch d := data.(type) {
	case []uint8:
		return 1, len(d), true
	case []int64:
		return 8, len(d), true
	case []float32:
		return 4, len(d), true
	case []float64:
		return 8, len(d), true
	}
	return 0, 0, false
}

// validate checks what Write requires of a table, naming the offending column.
func (t *Table) validate() error {
	if t.Rows < 0 {
		return fmt.Errorf("table has %d rows", t.Rows)
	}
	if len(t.Columns) == 0 {
		return fmt.Errorf("table has no columns")
	}
	seen := make([]string, 0, len(t.Columns))
	for i := range t.Columns {
		c := &t.Columns[i]
		if c.Name == "" {
			return fmt.Errorf("column %d has no name", i)
		}
		seen = append(seen, c.Name)
		_, n, ok := elementWidth(c.Data)
		if !ok {
			return &TypeError{Column: c.Name, Want: "uint8, int64, float32 or float64", Got: elementName(c.Data)}
		}
		size, ok := product(c.Shape)
		if !ok {
			return fmt.Errorf("column %q has shape %v: every dimension must be positive and the product below 2^31", c.Name, c.Shape)
		}
		if n/size != t.Rows || n%size != 0 {
			return fmt.Errorf("column %q has %d values, expected %d rows of shape %v", c.Name, n, t.Rows, c.Shape)
		}
	}
	slices.Sort(seen)
	for i := 1; i < len(seen); i++ {
		if seen[i] == seen[i-1] {
			return fmt.Errorf("column %q appears twice", seen[i])
		}
	}
	return nil
}
