package kernel

import "unsafe"

// sumLanes is the number of running sums per sum. Element i is added to running sum i mod sumLanes. At the end, the
// second half of the running sums is added to the first half until one sum remains. Several running sums shorten the
// chain of dependent additions and reduce the rounding error.
const sumLanes = 32

// sumSlice returns the sum of v.
func sumSlice[T Float](v []T) T {
	if m := assemblyFor[T](); m != nil {
		return T(m.sum(first(v), len(v)))
	}
	var l [sumLanes]T
	addPlain(&l, v)
	return foldLanes(&l)
}

// addLanes adds v to the running sums. The first element of v is added to the running sum with index at.
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

// addPlain is addLanes in Go, with at = 0.
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

// rowSum sums runs of elements that arrive block by block, with the same bits as sumSlice.
type rowSum[T Float] struct {
	lanes [sumLanes]T
	at    int // elements of the current run that have been added
}

// add adds v, which holds the elements of the row that start at index off. The row consists of runs of length run. When
// v completes a run, add writes the sum of the run to dst.
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
				*s = rowSum[T]{}
			}
		}
		off += len(part)
		v = v[len(part):]
	}
}
