package dataloader

import (
	"fmt"
	"unsafe"

	"vapo/lib/dataset"
)

// arena is memory for samples of one shape, in places that are used again and again. It is not the garbage collector's, which
// would let as much garbage pile up beside it before it collects.
type arena struct {
	raw    []byte
	places int
	size   int // values of a sample
	pixels []uint8
	points []float32
	labels []int64
}

func newArena(head dataset.Set, places int) (arena, error) {
	a := arena{places: places, size: 1, labels: make([]int64, places)}
	for _, d := range head.Shape() {
		a.size *= d
	}
	_, pixels := head.(*dataset.Images)
	n := places * a.size
	if !pixels {
		n *= 4
	}
	var err error
	if a.raw, err = allocate(n); err != nil {
		return arena{}, fmt.Errorf("window of %d bytes: %w", n, err)
	}
	if pixels {
		a.pixels = a.raw
	} else {
		a.points = unsafe.Slice((*float32)(unsafe.Pointer(&a.raw[0])), places*a.size)
	}
	return a, nil
}

// free gives the memory back. Samples given out must not be looked at any more.
func (a *arena) free() error {
	raw := a.raw
	*a = arena{}
	return release(raw)
}

func (a *arena) bytes() int64 { return int64(len(a.pixels) + 4*len(a.points) + 8*len(a.labels)) }

// put copies the samples of a set to the places of its rows.
func (a *arena) put(set dataset.Set, places []int32) {
	var labels []int64
	switch s := set.(type) {
	case *dataset.Images:
		labels = s.Labels
		for i, p := range places {
			copy(a.pixels[int(p)*a.size:], s.Image(i))
		}
	case *dataset.Points:
		labels = s.Labels
		for i, p := range places {
			copy(a.points[int(p)*a.size:], s.Point(i))
		}
	}
	for i, p := range places {
		a.labels[p] = -1
		if labels != nil {
			a.labels[p] = labels[i]
		}
	}
}

func (a *arena) sample(place, index int) Sample {
	s := Sample{Index: index, Label: a.labels[place]}
	from, to := place*a.size, (place+1)*a.size
	if a.pixels != nil {
		s.Pixels = a.pixels[from:to]
	} else {
		s.Point = a.points[from:to]
	}
	return s
}
