package dataloader

import "vapo/lib/dataset"

// Sample is one sample of a data set. The slices in it are valid until the next call of At.
type Sample struct {
	Index  int       // index of the sample in the data set
	Pixels []uint8   // [C, H, W], 0..255; nil for points
	Point  []float32 // [D]; nil for images
	Label  int64     // index of the class; -1 if unknown
}

// Samples returns samples by position, counted from the start of training. It is not safe for concurrent use.
type Samples interface {
	// Len returns the number of samples of the data set.
	Len() int
	// At returns the sample at a position. It is cheap if the position follows that of the previous call.
	At(position int64) (Sample, error)
	Close() error
}

// Memory implements Samples for a set in memory.
type Memory struct {
	order  *order
	images *dataset.Images
	points *dataset.Points
	labels []int64
}

// NewMemory returns the samples of a set in a random order that depends on seed. The set must not be empty.
func NewMemory(set dataset.Set, seed uint64, l Limits) *Memory {
	m := &Memory{order: newOrder(seed, set.Len(), sampleBytes(set), l)}
	switch s := set.(type) {
	case *dataset.Images:
		m.images, m.labels = s, s.Labels
	case *dataset.Points:
		m.points, m.labels = s, s.Labels
	}
	return m
}

// sampleBytes returns the size of one sample of set in bytes, without its label.
func sampleBytes(set dataset.Set) int {
	n := 1
	for _, d := range set.Shape() {
		n *= d
	}
	if _, ok := set.(*dataset.Points); ok {
		n *= 4
	}
	return n
}

// Len implements Samples.
func (m *Memory) Len() int { return m.order.n }

// At implements Samples. It never returns an error.
func (m *Memory) At(position int64) (Sample, error) {
	s := Sample{Index: m.order.At(position), Label: -1}
	if m.images != nil {
		s.Pixels = m.images.Image(s.Index)
	} else {
		s.Point = m.points.Point(s.Index)
	}
	if m.labels != nil {
		s.Label = m.labels[s.Index]
	}
	return s, nil
}

// Close implements Samples.
func (m *Memory) Close() error { return nil }
