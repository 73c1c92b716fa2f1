package feature

import (
	"fmt"
	"math"
	"slices"

	"vapo/lib/failure"
	"vapo/lib/metrics"
	"vapo/lib/tensorfile"
)

// Names of the columns in feature files.
const (
	featureColumn = "features"
	logitColumn   = "logits"
)

// Matrix holds the features or logits of images, [N, Width] row-major. The zero Matrix stands for missing logits.
type Matrix struct {
	Width int
	Data  []float32
}

// Len returns the number of rows.
func (m Matrix) Len() int { return len(m.Data) / max(m.Width, 1) }

// Moments returns the moments of the rows.
func (m Matrix) Moments() (*metrics.Moments, error) {
	moments := metrics.NewMoments(m.Width)
	if err := moments.Add(m.Data); err != nil {
		return nil, failure.New(failure.Numeric, "the feature network's weights may be damaged", "features: %w", err)
	}
	return moments, nil
}

// Table returns a table with columns features [D] and, if there are logits, logits [K].
func Table(features, logits Matrix) *tensorfile.Table {
	t := &tensorfile.Table{Rows: features.Len(), Meta: map[string]string{}}
	t.Columns = []tensorfile.Column{{Name: featureColumn, Shape: []int{features.Width}, Data: features.Data}}
	if logits.Width > 0 {
		t.Columns = append(t.Columns, tensorfile.Column{Name: logitColumn, Shape: []int{logits.Width}, Data: logits.Data})
	}
	return t
}

// FromTable is the inverse of Table. A value that is not finite is an error.
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

// split separates rows [N, dim+classes] into features and logits.
func split(rows []float32, dim, classes int) (features, logits Matrix) {
	if classes == 0 {
		return Matrix{dim, rows}, Matrix{}
	}
	n := len(rows) / (dim + classes)
	features, logits = Matrix{dim, make([]float32, 0, n*dim)}, Matrix{classes, make([]float32, 0, n*classes)}
	for row := range slices.Chunk(rows, dim+classes) {
		features.Data, logits.Data = append(features.Data, row[:dim]...), append(logits.Data, row[dim:]...)
	}
	return features, logits
}
