package dataset

import (
	"encoding/json"
	"fmt"
	"math"

	"vapo/lib/failure"
	"vapo/lib/npz"
	"vapo/lib/program"
	"vapo/lib/tensorfile"
)

// Names of columns and metadata in tables.
const (
	ImageColumn = "image"
	PointColumn = "x"
	LabelColumn = "label"

	MetaDataset = "dataset"
	MetaSplit   = "split"
	MetaClasses = "classes"
	MetaMixture = "mixture"
	MetaColumns = "columns"
)

// Table returns the columns image (uint8 [C, H, W]) and, if known, label (int64).
func (s *Images) Table() *tensorfile.Table {
	pixels := tensorfile.Column{Name: ImageColumn, Shape: s.Shape(), Data: s.Pixels, Range: &[2]float64{0, 255}}
	return newTable(s.Name, s.Split, s.N, pixels, s.Labels, s.Classes)
}

// Table returns the columns x (float32 [D]) and, if known, label (int64).
func (s *Points) Table() *tensorfile.Table {
	x := tensorfile.Column{Name: PointColumn, Shape: s.Shape(), Data: s.X}
	t := newTable(s.Name, s.Split, s.N, x, s.Labels, s.Classes)
	if s.Mixture != nil {
		t.Meta[MetaMixture] = mustJSON(s.Mixture)
	}
	if s.Columns != nil {
		t.Meta[MetaColumns] = mustJSON(s.Columns)
	}
	return t
}

func newTable(
	name, split string, n int, data tensorfile.Column, labels []int64, classes []string,
) *tensorfile.Table {
	t := &tensorfile.Table{Rows: n, Columns: []tensorfile.Column{data}, Meta: map[string]string{}}
	if name != "" {
		t.Meta[MetaDataset] = name
	}
	if split != "" {
		t.Meta[MetaSplit] = split
	}
	if labels != nil {
		t.Columns = append(t.Columns, tensorfile.Column{Name: LabelColumn, Data: labels})
	}
	if classes != nil {
		t.Meta[MetaClasses] = mustJSON(classes)
	}
	return t
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("dataset: marshal %T: %v", v, err)) // strings and finite numbers always marshal
	}
	return string(b)
}

// Read reads the file at path as a set: a tensor file, or a NumPy archive (.npz) in the layout of WriteNPZ.
func Read(path string) (Set, error) { return read(path, true) }

// ReadUnlabelled is like Read but ignores the labels of a NumPy archive. Unusable labels are then not an error.
func ReadUnlabelled(path string) (Set, error) { return read(path, false) }

func read(path string, labels bool) (s Set, err error) {
	if npz.IsFile(path) {
		s, err = readNPZ(path, labels)
	} else if !tensorfile.IsFile(path) {
		err = program.Unexpected(path, "a tensor file or a NumPy archive", setHint)
	} else {
		var t *tensorfile.Table
		if t, err = tensorfile.Read(path); err != nil {
			return nil, err // the error names the path
		}
		s, err = FromTable(t)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// invalid reports a readable file or table that is not a data set.
func invalid(format string, args ...any) error {
	return failure.New(failure.Input, setHint, "not a data set: "+format, args...)
}

const setHint = "give an output of prep or sample"

// FromTable returns the table as a set that shares its memory: *Images if it has a column image, *Points if it has a
// column x.
func FromTable(t *tensorfile.Table) (Set, error) {
	labels, classes, err := labelsOf(t)
	if err != nil {
		return nil, err
	}
	if c, err := t.Column(ImageColumn); err == nil {
		return imagesOf(t, c, labels, classes)
	}
	c, err := t.Column(PointColumn)
	if err != nil {
		return nil, invalid("it has neither a column %q nor a column %q", ImageColumn, PointColumn)
	}
	return pointsOf(t, c, labels, classes)
}

// labelsOf returns the labels and the class names of a table. Each is nil if the table has none.
func labelsOf(t *tensorfile.Table) (labels []int64, classes []string, err error) {
	if c, err := t.Column(LabelColumn); err == nil {
		if labels, err = tensorfile.Values[int64](c); err != nil {
			return nil, nil, invalid("%w", err)
		}
		if len(c.Shape) != 0 {
			return nil, nil, invalid("column %q has shape %v, expected a scalar in each row", LabelColumn, c.Shape)
		}
	}
	text := t.Meta[MetaClasses]
	if text == "" {
		return labels, nil, nil
	}
	if err := json.Unmarshal([]byte(text), &classes); err != nil {
		return nil, nil, invalid("metadata %q is not a list of names: %w", MetaClasses, err)
	}
	for i, l := range labels {
		if l < 0 || l >= int64(len(classes)) {
			return nil, nil, invalid("row %d has label %d, expected 0..%d", i, l, len(classes)-1)
		}
	}
	return labels, classes, nil
}

func imagesOf(t *tensorfile.Table, c *tensorfile.Column, labels []int64, classes []string) (Set, error) {
	pixels, err := tensorfile.Values[uint8](c)
	if err != nil {
		return nil, invalid("%w", err)
	}
	if len(c.Shape) != 3 {
		return nil, invalid("column %q has shape %v, expected [C, H, W]", ImageColumn, c.Shape)
	}
	return &Images{
		Name: t.Meta[MetaDataset], Split: t.Meta[MetaSplit],
		N: t.Rows, C: c.Shape[0], H: c.Shape[1], W: c.Shape[2],
		Pixels: pixels, Labels: labels, Classes: classes,
	}, nil
}

func pointsOf(t *tensorfile.Table, c *tensorfile.Column, labels []int64, classes []string) (Set, error) {
	x, err := tensorfile.Values[float32](c)
	if err != nil {
		return nil, invalid("%w", err)
	}
	if len(c.Shape) != 1 {
		return nil, invalid("column %q has shape %v, expected [D]", PointColumn, c.Shape)
	}
	s := &Points{
		Name: t.Meta[MetaDataset], Split: t.Meta[MetaSplit],
		N: t.Rows, D: c.Shape[0], X: x, Labels: labels, Classes: classes,
	}
	if err := s.checkFinite(); err != nil {
		return nil, err
	}
	if m := t.Meta[MetaMixture]; m != "" {
		s.Mixture = &Mixture{}
		if err := json.Unmarshal([]byte(m), s.Mixture); err != nil {
			return nil, invalid("metadata %q: %w", MetaMixture, err)
		}
		if s.Mixture.Dim() != s.D {
			return nil, invalid("the points have %d dimensions, but their mixture has %d", s.D, s.Mixture.Dim())
		}
	}
	if s.Columns, err = columnsOf(t, s.D); err != nil {
		return nil, err
	}
	return s, nil
}

// columnsOf returns the names and units of the d coordinates of points, or nil if the table has none.
func columnsOf(t *tensorfile.Table, d int) (columns []Column, err error) {
	text := t.Meta[MetaColumns]
	if text == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &columns); err != nil {
		return nil, invalid("metadata %q: %w", MetaColumns, err)
	}
	if len(columns) != d {
		return nil, invalid("the points have %d dimensions, but their metadata describe %d columns", d, len(columns))
	}
	for _, c := range columns {
		if c.Name == "" || !(c.Std > 0) {
			return nil, invalid("column %q has standard deviation %v, expected a name and a positive number",
				c.Name, c.Std)
		}
	}
	return columns, nil
}

func (s *Points) checkFinite() error {
	for i, v := range s.X {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return invalid("row %d holds %v", i/s.D, v)
		}
	}
	return nil
}
