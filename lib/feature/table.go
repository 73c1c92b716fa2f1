package feature

import (
	"fmt"
	"math"
	"slices"

	"vapo/lib/tensorfile"
)

// Names of the columns in files of features.
const (
	featureColumn = "features"
	logitColumn   = "logits"
)

// Matrix is rows of Width numbers each, [N, Width].
type Matrix struct {
	Width int
	Data  []float32
}

// Table returns rows [N, dim+classes] as a table with columns features [dim] and, if there are classes, logits [classes].
func Table(rows []float32, dim, classes int) *tensorfile.Table {
	features, logits := Split(rows, dim, classes)
	t := &tensorfile.Table{Rows: len(features) / dim, Meta: map[string]string{}}
	t.Columns = []tensorfile.Column{{Name: featureColumn, Shape: []int{dim}, Data: features}}
	if classes > 0 {
		t.Columns = append(t.Columns, tensorfile.Column{Name: logitColumn, Shape: []int{classes}, Data: logits})
	}
	return t
}

// FromTable returns what Table was made from: features, and logits of width 0 where the table has none. All numbers are
// finite.
func FromTable(t *tensorfile.Table) (features, logits Matrix, err error) {
	if features, err = matrix(t, featureColumn); err != nil {
		return Matrix{}, Matrix{}, err
	}
	if _, err := t.Column(logitColumn); err == nil {
		if logits, err = matrix(t, logitColumn); err != nil {
			return Matrix{}, Matrix{}, err
		}
	}
	return features, logits, nil
}

func matrix(t *tensorfile.Table, name string) (Matrix, error) {
	c, err := t.Column(name)
	if err != nil {
		return Matrix{}, err
	}
	v, err := tensorfile.Values[float32](c)
	if err != nil {
		return Matrix{}, err
	}
	if len(c.Shape) != 1 {
		return Matrix{}, fmt.Errorf("column %q has shape %v, expected [D]", name, c.Shape)
	}
	for i, x := range v {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return Matrix{}, fmt.Errorf("column %q holds %v in row %d", name, x, i/c.Shape[0])
		}
	}
	return Matrix{c.Shape[0], v}, nil
}

// Split separates rows [N, dim+classes] into features [N, dim] and logits [N, classes], nil if there are no classes.
func Split(rows []float32, dim, classes int) (features, logits []float32) {
	if classes == 0 {
		return rows, nil
	}
	n := len(rows) / (dim + classes)
	features, logits = make([]float32, 0, n*dim), make([]float32, 0, n*classes)
	for row := range slices.Chunk(rows, dim+classes) {
		features, logits = append(features, row[:dim]...), append(logits, row[dim:]...)
	}
	return features, logits
}
