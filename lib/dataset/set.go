// Package dataset represents sets of images and sets of points, and reads and writes them.
//
// The stages pass sets to each other as Arrow tables (package tensorfile). NumPy archives and CSV files exchange sets
// with other programs. Package dataset/source creates the sets.
package dataset

import "vapo/lib/tensorfile"

// Set is a data set in memory: *Images or *Points.
type Set interface {
	// Len returns the number of samples.
	Len() int
	// Shape returns the shape of one sample: [C, H, W] or [D].
	Shape() []int
	// Table returns the set as a table that shares the set's memory.
	Table() *tensorfile.Table
	// Head returns the first n samples, or all if there are fewer. It shares the set's memory.
	Head(n int) Set
	// Row writes sample i to dst as a network takes it: pixels in [-1, 1], or coordinates.
	Row(dst []float32, i int)
}

// LabelsOf returns the labels of a set, or nil if they are unknown.
func LabelsOf(set Set) []int64 {
	switch s := set.(type) {
	case *Images:
		return s.Labels
	case *Points:
		return s.Labels
	}
	return nil
}

// ClassesOf returns the names of a set's classes, or nil if it has none.
func ClassesOf(set Set) []string {
	switch s := set.(type) {
	case *Images:
		return s.Classes
	case *Points:
		return s.Classes
	}
	return nil
}

// Images is a set of images of one size.
type Images struct {
	Name, Split string // for example "fashion-mnist" and "train"
	N, C, H, W  int
	Pixels      []uint8  // [N, C, H, W], 0..255
	Labels      []int64  // [N], indices of Classes; nil if unknown
	Classes     []string // names of the classes; nil if unknown
}

// Points is a set of vectors.
type Points struct {
	Name, Split string
	N, D        int
	X           []float32 // [N, D]
	Labels      []int64   // [N], the component that a point was drawn from, or the point's class; nil if unknown
	Mixture     *Mixture  // the density of the points if it is a Gaussian mixture, else nil
	Columns     []Column  // [D], names and units of the coordinates if the points came from a table, else nil
	Classes     []string  // names of the classes; nil if unknown
}

// Column is a coordinate of points that came from a table: x = (value - Mean) / Std.
type Column struct {
	Name string  `json:"name"`
	Mean float64 `json:"mean"`
	Std  float64 `json:"std"`
}

// Len returns the number of images.
func (s *Images) Len() int { return s.N }

// Shape returns [C, H, W].
func (s *Images) Shape() []int { return []int{s.C, s.H, s.W} }

// Image returns the pixels of image i, [C, H, W].
func (s *Images) Image(i int) []uint8 {
	size := s.C * s.H * s.W
	return s.Pixels[i*size : (i+1)*size]
}

// Row implements Set.
func (s *Images) Row(dst []float32, i int) { Normalize(dst, s.Image(i)) }

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

// Len returns the number of points.
func (s *Points) Len() int { return s.N }

// Shape returns [D].
func (s *Points) Shape() []int { return []int{s.D} }

// Point returns the coordinates of point i, [D].
func (s *Points) Point(i int) []float32 { return s.X[i*s.D : (i+1)*s.D] }

// Row implements Set.
func (s *Points) Row(dst []float32, i int) { copy(dst, s.Point(i)) }

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
