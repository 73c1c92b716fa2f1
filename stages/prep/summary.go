package main

import (
	"encoding/json"
	"io"
	"math"

	"vapo/lib/dataset"
)

// summary is the output of that name.
type summary struct {
	Source  string         `json:"source"`
	Shape   []int          `json:"shape"` // of one sample
	Classes []string       `json:"classes,omitempty"`
	Files   []dataset.File `json:"files,omitempty"`
	Train   splitSummary   `json:"train"`
	Test    splitSummary   `json:"test"`
}

// splitSummary has moments per channel of images (in pixel values, 0..255) or per coordinate of points.
type splitSummary struct {
	Count    int       `json:"count"`
	PerClass []int     `json:"per_class,omitempty"` // by label
	Mean     []float64 `json:"mean"`
	Std      []float64 `json:"std"`
}

func summarise(source string, train, test dataset.Set, files []dataset.File) *summary {
	s := &summary{Source: source, Shape: train.Shape(), Files: files, Train: describe(train), Test: describe(test)}
	if images, ok := train.(*dataset.Images); ok {
		s.Classes = images.Classes
	}
	return s
}

func (s *summary) write(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(s)
}

func describe(set dataset.Set) splitSummary {
	switch s := set.(type) {
	case *dataset.Images:
		mean, std := pixelMoments(s)
		return splitSummary{Count: s.N, PerClass: perClass(s.Labels, len(s.Classes)), Mean: mean, Std: std}
	case *dataset.Points:
		mean, std := pointMoments(s)
		classes := 0
		for _, l := range s.Labels {
			classes = max(classes, int(l)+1)
		}
		return splitSummary{Count: s.N, PerClass: perClass(s.Labels, classes), Mean: mean, Std: std}
	}
	return splitSummary{Count: set.Len()}
}

func perClass(labels []int64, classes int) []int {
	counts := make([]int, classes)
	for _, l := range labels {
		counts[l]++
	}
	return counts
}

// pixelMoments returns mean and standard deviation of the pixels of each channel. Sums are integers, so the result is
// exact before the last division.
func pixelMoments(s *dataset.Images) (mean, std []float64) {
	plane := s.H * s.W
	sum, sq := make([]uint64, s.C), make([]uint64, s.C)
	for i := range s.N {
		image := s.Image(i)
		for c := range s.C {
			for _, v := range image[c*plane : (c+1)*plane] {
				sum[c] += uint64(v)
				sq[c] += uint64(v) * uint64(v)
			}
		}
	}
	n := float64(s.N * plane)
	for c := range s.C {
		m := float64(sum[c]) / n
		mean = append(mean, m)
		std = append(std, math.Sqrt(max(0, float64(sq[c])/n-float64(m*m))))
	}
	return mean, std
}

// pointMoments returns mean and standard deviation of each coordinate, in two passes.
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
