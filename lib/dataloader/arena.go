package dataloader

import (
	"fmt"
	"unsafe"

	"vapo/lib/dataset"
)

// arena stores samples of one shape in reusable slots. On Unix, its memory is not part of the Go heap. A larger heap
// would let more garbage accumulate before each collection.
type arena struct {
	raw    []byte
	slots  int
	size   int // values per sample
	pixels []uint8
	points []float32
	labels []int64
}

func newArena(head dataset.Set, slots int) (arena, error) {
	a := arena{slots: slots, size: 1, labels: make([]int64, slots)}
	for _, d := range head.Shape() {
		a.size *= d
	}
	_, pixels := head.(*dataset.Images)
	n := slots * a.size
	if !pixels {
		n *= 4
	}
	var err error
	if a.raw, err = allocate(n); err != nil {
		return arena{}, fmt.Errorf("allocating %d bytes for a window of samples: %w", n, err)
	}
	if pixels {
		a.pixels = a.raw
	} else {
		a.points = unsafe.Slice((*float32)(unsafe.Pointer(&a.raw[0])), slots*a.size)
	}
	return a, nil
}

// free releases the memory, so samples returned earlier become invalid.
func (a *arena) free() error {
	raw := a.raw
	*a = arena{}
	return release(raw)
}

func (a *arena) bytes() int64 { return int64(len(a.pixels) + 4*len(a.points) + 8*len(a.labels)) }

// put copies row i of a set to slots[i].
func (a *arena) put(set dataset.Set, slots []int32) {
	var labels []int64
	switch s := set.(type) {
	case *dataset.Images:
		labels = s.Labels
		for i, p := range slots {
			copy(a.pixels[int(p)*a.size:], s.Image(i))
		}
	case *dataset.Points:
		labels = s.Labels
		for i, p := range slots {
			copy(a.points[int(p)*a.size:], s.Point(i))
		}
	}
	for i, p := range slots {
		a.labels[p] = -1
		if labels != nil {
			a.labels[p] = labels[i]
		}
	}
}

func (a *arena) sample(slot, index int) Sample {
	s := Sample{Index: index, Label: a.labels[slot]}
	from, to := slot*a.size, (slot+1)*a.size
	if a.pixels != nil {
		s.Pixels = a.pixels[from:to]
	} else {
		s.Point = a.points[from:to]
	}
	return s
}
