// Package dataset turns published data sets, people's own images and tables, and synthetic distributions into tables of tensors.
//
// A Set is what the rest of vapo sees: Images (uint8, [N, C, H, W], with labels where the source has them) or Points
// (float32, [N, D]). Sets convert to and from tensorfile tables, which is the form in which stages exchange them.
//
// Sources are read as they are published (idx files, the CIFAR-10 binary archive). A file that is one of a
// published data set is compared with its known sha256; every file is checked against its own header, and
// the errors (*FileError, *ChecksumError, *NotFoundError) name the file, what was expected and what was found.
// Folders and archives of images need not fit into memory: they are a Stream, from which images come a batch at a time.
package dataset

import (
	"encoding/json"
	"fmt"
	"math"

	"vapo/lib/npz"
	"vapo/lib/tensorfile"
)

// Set is a data set in memory: *Images or *Points.
type Set interface {
	// Len returns the number of samples.
	Len() int
	// Shape returns the shape of one sample: [C, H, W] or [D].
	Shape() []int
	// Table returns the set as a table; it shares the set's memory.
	Table() *tensorfile.Table
	// Head returns the first n samples (all where there are fewer); it shares the set's memory.
	Head(n int) Set
}

// Images is a set of images of one size.
type Images struct {
	Name, Split string // "fashion-mnist", "train"
	N, C, H, W  int
	Pixels      []uint8  // [N, C, H, W], 0..255
	Labels      []int64  // [N], indices of Classes; nil where unknown
	Classes     []string // names of the classes; nil where unknown
}

// Points is a set of vectors.
type Points struct {
	Name, Split string
	N, D        int
	X           []float32 // [N, D]
	Labels      []int64   // [N], the component a point was drawn from; nil where unknown
	Mixture     *Mixture  // the density the points were drawn from, nil where it is no Gaussian mixture
	Columns     []Column  // [D], names and units of the coordinates of a table; nil where there are none
	Classes     []string  // names of the labels; nil where unknown
}

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

// Len returns the number of images.
func (s *Images) Len() int { return s.N }

// Shape returns [C, H, W].
func (s *Images) Shape() []int { return []int{s.C, s.H, s.W} }

// Image returns the pixels of image i, [C, H, W].
func (s *Images) Image(i int) []uint8 {
	size := s.C * s.H * s.W
	return s.Pixels[i*size : (i+1)*size]
}

// Head returns the first n images.
func (s *Images) Head(n int) Set {
	h := *s
	h.N = min(n, s.N)
	h.Pixels = s.Pixels[:h.N*s.C*s.H*s.W]
	if s.Labels != nil {
		h.Labels = s.Labels[:h.N]
	}
	return &h
}

// Table returns columns image (uint8 [C, H, W]) and, where known, label (int64).
func (s *Images) Table() *tensorfile.Table {
	t := newTable(s.Name, s.Split, s.N, tensorfile.Column{Name: ImageColumn, Shape: s.Shape(), Data: s.Pixels, Range: &[2]float64{0, 255}}, s.Labels)
	if s.Classes != nil {
		t.Meta[MetaClasses] = mustJSON(s.Classes)
	}
	return t
}

// Len returns the number of points.
func (s *Points) Len() int { return s.N }

// Shape returns [D].
func (s *Points) Shape() []int { return []int{s.D} }

// Point returns the coordinates of point i, [D].
func (s *Points) Point(i int) []float32 { return s.X[i*s.D : (i+1)*s.D] }

// Head returns the first n points.
func (s *Points) Head(n int) Set {
	h := *s
	h.N = min(n, s.N)
	h.X = s.X[:h.N*s.D]
	if s.Labels != nil {
		h.Labels = s.Labels[:h.N]
	}
	return &h
}

// Table returns columns x (float32 [D]) and, where known, label (int64).
func (s *Points) Table() *tensorfile.Table {
	t := newTable(s.Name, s.Split, s.N, tensorfile.Column{Name: PointColumn, Shape: s.Shape(), Data: s.X}, s.Labels)
	if s.Mixture != nil {
		t.Meta[MetaMixture] = mustJSON(s.Mixture)
	}
	if s.Columns != nil {
		t.Meta[MetaColumns] = mustJSON(s.Columns)
	}
	if s.Classes != nil {
		t.Meta[MetaClasses] = mustJSON(s.Classes)
	}
	return t
}

func newTable(name, split string, n int, data tensorfile.Column, labels []int64) *tensorfile.Table {
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
	return t
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("dataset: %T does not marshal: %v", v, err)) // strings and finite numbers always do
	}
	return string(b)
}

// Read reads the file at path as a set: a tensor file, or a NumPy archive (.npz) of uint8 images [N, H, W, C] or of points
// [N, D], as WriteNPZ writes it.
func Read(path string) (Set, error) {
	if npz.IsFile(path) {
		return readNPZ(path)
	}
	t, err := tensorfile.Read(path)
	if err != nil {
		return nil, err
	}
	s, err := FromTable(t)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// FromTable returns the table as a set, sharing its memory: *Images where there is a column image, *Points where there is
// a column x. A table that is neither, or whose labels do not fit its classes, is a *TableError.
func FromTable(t *tensorfile.Table) (Set, error) {
	labels, err := labelsOf(t)
	if err != nil {
		return nil, err
	}
	if c, err := t.Column(ImageColumn); err == nil {
		return imagesOf(t, c, labels)
	}
	c, err := t.Column(PointColumn)
	if err != nil {
		return nil, &TableError{Reason: fmt.Sprintf("it has neither a column %q nor a column %q", ImageColumn, PointColumn)}
	}
	return pointsOf(t, c, labels)
}

// TableError says why a table is not a data set.
type TableError struct{ Reason string }

func (e *TableError) Error() string { return "not a data set: " + e.Reason }

func labelsOf(t *tensorfile.Table) ([]int64, error) {
	c, err := t.Column(LabelColumn)
	if err != nil {
		return nil, nil // labels are optional
	}
	labels, err := tensorfile.Values[int64](c)
	if err != nil {
		return nil, &TableError{Reason: err.Error()}
	}
	if len(c.Shape) != 0 {
		return nil, &TableError{Reason: fmt.Sprintf("column %q has shape %v, expected one number a row", LabelColumn, c.Shape)}
	}
	return labels, nil
}

func imagesOf(t *tensorfile.Table, c *tensorfile.Column, labels []int64) (Set, error) {
	pixels, err := tensorfile.Values[uint8](c)
	if err != nil {
		return nil, &TableError{Reason: err.Error()}
	}
	if len(c.Shape) != 3 {
		return nil, &TableError{Reason: fmt.Sprintf("column %q has shape %v, expected [C, H, W]", ImageColumn, c.Shape)}
	}
	s := &Images{
		Name: t.Meta[MetaDataset], Split: t.Meta[MetaSplit],
		N: t.Rows, C: c.Shape[0], H: c.Shape[1], W: c.Shape[2], Pixels: pixels, Labels: labels,
	}
	if s.Classes, err = classesIn(t, labels); err != nil {
		return nil, err
	}
	return s, nil
}

// classesIn returns the names of the labels, or nil where there are none.
func classesIn(t *tensorfile.Table, labels []int64) (classes []string, err error) {
	text := t.Meta[MetaClasses]
	if text == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &classes); err != nil {
		return nil, &TableError{Reason: fmt.Sprintf("metadata %q is not a list of names: %v", MetaClasses, err)}
	}
	for i, l := range labels {
		if l < 0 || l >= int64(len(classes)) {
			return nil, &TableError{Reason: fmt.Sprintf("row %d has label %d, expected 0..%d", i, l, len(classes)-1)}
		}
	}
	return classes, nil
}

// columnsIn returns names and units of the d coordinates of points, or nil where there are none.
func columnsIn(t *tensorfile.Table, d int) (columns []Column, err error) {
	text := t.Meta[MetaColumns]
	if text == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &columns); err != nil {
		return nil, &TableError{Reason: fmt.Sprintf("metadata %q: %v", MetaColumns, err)}
	}
	if len(columns) != d {
		return nil, &TableError{Reason: fmt.Sprintf("points of %d dimensions with %d columns", d, len(columns))}
	}
	for _, c := range columns {
		if c.Name == "" || !(c.Std > 0) {
			return nil, &TableError{Reason: fmt.Sprintf("column %q has standard deviation %v, expected a name and a positive number", c.Name, c.Std)}
		}
	}
	return columns, nil
}

// finite returns an error where a coordinate is no number.
func (s *Points) finite() error {
	for i, v := range s.X {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return &TableError{Reason: fmt.Sprintf("row %d holds %v", i/s.D, v)}
		}
	}
	return nil
}

func pointsOf(t *tensorfile.Table, c *tensorfile.Column, labels []int64) (Set, error) {
	x, err := tensorfile.Values[float32](c)
	if err != nil {
		return nil, &TableError{Reason: err.Error()}
	}
	if len(c.Shape) != 1 {
		return nil, &TableError{Reason: fmt.Sprintf("column %q has shape %v, expected [D]", PointColumn, c.Shape)}
	}
	s := &Points{Name: t.Meta[MetaDataset], Split: t.Meta[MetaSplit], N: t.Rows, D: c.Shape[0], X: x, Labels: labels}
	if err := s.finite(); err != nil {
		return nil, err
	}
	if m := t.Meta[MetaMixture]; m != "" {
		s.Mixture = &Mixture{}
		if err := json.Unmarshal([]byte(m), s.Mixture); err != nil {
			return nil, &TableError{Reason: fmt.Sprintf("metadata %q: %v", MetaMixture, err)}
		}
		if s.Mixture.Dim() != s.D {
			return nil, &TableError{Reason: fmt.Sprintf("points of %d dimensions with a mixture of %d", s.D, s.Mixture.Dim())}
		}
	}
	if s.Columns, err = columnsIn(t, s.D); err != nil {
		return nil, err
	}
	if s.Classes, err = classesIn(t, labels); err != nil {
		return nil, err
	}
	return s, nil
}
