package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"

	"vapo/lib/dataset"
	"vapo/lib/dataset/source"
)

// summary is the content of the output "summary".
type summary struct {
	Source  string        `json:"source"`
	Shape   []int         `json:"shape"` // shape of one sample
	Classes []string      `json:"classes,omitempty"`
	Files   []source.File `json:"files,omitempty"`
	Train   splitSummary  `json:"train"`
	Test    splitSummary  `json:"test"`
	Valid   *splitSummary `json:"valid,omitempty"`
	// Columns describes the columns of a table, with the mean and standard deviation that standardise them.
	Columns []dataset.Column `json:"columns,omitempty"`
}

// splitSummary describes one split. Mean and Std are per channel of images (in pixel values, 0..255) or per coordinate
// of points.
type splitSummary struct {
	Count    int       `json:"count"`
	PerClass []int     `json:"per_class,omitempty"` // number of samples, by label
	Mean     []float64 `json:"mean"`
	Std      []float64 `json:"std"`
}

func summarise(source string, train, test dataset.Set, files []source.File) *summary {
	s := &summary{Source: source, Shape: train.Shape(), Files: files, Train: describe(train), Test: describe(test)}
	switch set := train.(type) {
	case *dataset.Images:
		s.Classes = set.Classes
	case *dataset.Points:
		s.Classes, s.Columns = set.Classes, set.Columns
	}
	return s
}

// String returns the summary in a sentence.
func (s *summary) String() string {
	return fmt.Sprintf("%s: %d training and %d test samples of shape %v", s.Source, s.Train.Count, s.Test.Count, s.Shape)
}

func (s *summary) write(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(s)
}

func describe(set dataset.Set) splitSummary {
	if s, ok := set.(*dataset.Images); ok {
		t := newTally(s)
		t.add(s)
		return t.summary()
	}
	s := set.(*dataset.Points)
	out := splitSummary{Count: s.N}
	out.Mean, out.Std = pointMoments(s)
	if len(s.Labels) > 0 {
		out.PerClass = make([]int, max(slices.Max(s.Labels)+1, int64(len(s.Classes))))
		for _, l := range s.Labels {
			out.PerClass[l]++
		}
	}
	return out
}

// imageTally accumulates the moments of a split over its batches. Its sums are integers and therefore exact.
type imageTally struct {
	n, plane int
	perClass []int
	sum, sq  []uint64 // sums of pixels and of their squares, by channel
}

func newTally(like *dataset.Images) *imageTally {
	return &imageTally{
		plane: like.H * like.W, perClass: make([]int, len(like.Classes)),
		sum: make([]uint64, like.C), sq: make([]uint64, like.C),
	}
}

func (t *imageTally) add(s *dataset.Images) {
	for i := range s.N {
		image := s.Image(i)
		for c := range t.sum {
			for _, v := range image[c*t.plane : (c+1)*t.plane] {
				t.sum[c] += uint64(v)
				t.sq[c] += uint64(v) * uint64(v)
			}
		}
	}
	t.n += s.N
	for _, l := range s.Labels {
		t.perClass[l]++
	}
}

func (t *imageTally) summary() splitSummary {
	s := splitSummary{Count: t.n, PerClass: t.perClass}
	n := float64(t.n * t.plane)
	for c := range t.sum {
		m := float64(t.sum[c]) / n
		s.Mean = append(s.Mean, m)
		s.Std = append(s.Std, math.Sqrt(max(0, float64(t.sq[c])/n-float64(m*m))))
	}
	return s
}

// pointMoments computes the mean and standard deviation of each coordinate in two passes.
func pointMoments(s *dataset.Points) (mean, std []float64) {
	mean, std = make([]float64, s.D), make([]float64, s.D)
	for i := range s.N {
		for j, v := range s.Point(i) {
			mean[j] += float64(v)
		}
	}
	for j := range mean {
		mean[j] /= float64(s.N)
	}
	for i := range s.N {
		for j, v := range s.Point(i) {
			d := float64(v) - mean[j]
			std[j] += float64(d * d)
		}
	}
	for j := range std {
		std[j] = math.Sqrt(std[j] / float64(s.N))
	}
	return mean, std
}
