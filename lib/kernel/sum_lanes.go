package kernel

import "unsafe"

// sumLanes is the number of running sums of which a sum is made: element i goes to the sum i mod sumLanes, and halves of
// the sums are added to each other until one is left. That shortens the chain of dependent additions and the rounding error.
const sumLanes = 32

// sumSlice adds up v.
func sumSlice[T Float](v []T) T {
	if m := assemblyFor[T](); m != nil {
		return T(m.sum(first(v), len(v)))
	}
	var l [sumLanes]T
	addPlain(&l, v)
	return foldLanes(&l)
}

// addLanes adds v to the sums, of which its first element meets the one at the place at.
func addLanes[T Float](l *[sumLanes]T, at int, v []T) {
	for ; at < sumLanes && at > 0 && len(v) > 0; at++ {
		l[at] += v[0]
		v = v[1:]
	}
	if m := assemblyFor[T](); m != nil {
		m.addLanes((*[sumLanes]float32)(unsafe.Pointer(l)), first(v), len(v))
		return
	}
	addPlain(l, v)
}

// addPlain adds v to the sums, from the first of them on.
func addPlain[T Float](l *[sumLanes]T, v []T) {
	for ; len(v) >= sumLanes; v = v[sumLanes:] {
		for i, x := range v[:sumLanes] {
			l[i] += x
		}
	}
	for i, x := range v {
		l[i] += x
	}
}

func foldLanes[T Float](l *[sumLanes]T) T {
	for half := sumLanes / 2; half > 0; half /= 2 {
		for i := range half {
			l[i] += l[i+half]
		}
	}
	return l[0]
}

// rowSum adds up runs of elements that arrive block by block, with the bits of sumSlice.
type rowSum[T Float] struct {
	lanes [sumLanes]T
	at    int // elements of the current run that have been seen
}

func (s *rowSum[T]) reset() { *s = rowSum[T]{} }

// add takes the elements from off on of the row, which is cut into runs of length run, and writes to dst the sums of the
// runs that they complete.
func (s *rowSum[T]) add(dst, v []T, off, run int) {
	for len(v) > 0 {
		k := off / run
		part := v[:min(len(v), (k+1)*run-off)]
		if len(part) == run {
			dst[k] = sumSlice(part)
		} else {
			addLanes(&s.lanes, s.at%sumLanes, part)
			if s.at += len(part); s.at == run {
				dst[k] = foldLanes(&s.lanes)
				s.reset()
			}
		}
		off += len(part)
		v = v[len(part):]
	}
}
