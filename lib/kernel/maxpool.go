package kernel

import "math"

// SelectMax finds the first maximum, in row-major order, of each window of a, and returns the element of b at the same
// position. a and b have shape [planes, H, W], and the result has shape [planes, OH, OW]. Padding is never chosen. A
// NaN counts as larger than any number.
type SelectMax[T Float] struct{ slider[T] }

// NewSelectMax prepares the selection.
func NewSelectMax[T Float](s WindowShape) *SelectMax[T] {
	k := &SelectMax[T]{}
	k.start(s, s.KH*s.KW*s.OH()*s.OW(), k.choose)
	k.begin(s, T(math.Inf(-1)), largerInto[T])
	return k
}

// Run computes dst from a and b. If a and b are the same slice, the result is max pooling. Run is not safe for
// concurrent use.
func (k *SelectMax[T]) Run(dst, a, b []T) { k.run(dst, a, b) }

func (k *SelectMax[T]) choose(worker, at int) {
	a, b, dst := k.large(k.a, at), k.large(k.b, at), k.small(k.dst, at)
	if &a[0] == &b[0] { // max pooling: the positions of the maxima do not matter
		k.slide(worker, dst, a)
		return
	}
	i := 0
	for y := range k.oh {
		for x := range k.ow {
			dst[i] = b[firstMax(a, k.s, y, x)]
			i++
		}
	}
}

// larger returns the larger of v and w, or v if they are equal. If v or w is NaN, the result is NaN.
func larger[T Float](v, w T) T {
	if v >= w || v != v {
		return v
	}
	return w
}

// largerInto sets v = larger(v, w) element by element.
func largerInto[T Float](v, w []T) {
	w = w[:len(v)]
	if m := assemblyFor[T](); m != nil {
		m.larger(first(v), first(v), first(w), len(v))
		return
	}
	for i := range v {
		v[i] = larger(v[i], w[i])
	}
}

// firstMax returns the index in the plane a of the first maximum of window (y, x).
func firstMax[T Float](a []T, s WindowShape, y, x int) int {
	r, bottom := s.rows(y)
	lo, hi := s.columns(x)
	best := r*s.W + lo
	v := a[best]
	for ; r < bottom; r++ {
		for c, w := range a[r*s.W+lo : r*s.W+hi] {
			if !(v >= w || v != v) {
				v, best = w, r*s.W+lo+c
			}
		}
	}
	return best
}

// ScatterMax starts from zeros and adds each element of g at the position of the first maximum of the corresponding
// window of a. a and the result have shape [planes, H, W], and g has shape [planes, OH, OW]. ScatterMax is the adjoint
// of SelectMax as a function of b.
type ScatterMax[T Float] struct{ planeLoop[T] }

// NewScatterMax prepares the scattering.
func NewScatterMax[T Float](s WindowShape) *ScatterMax[T] {
	k := &ScatterMax[T]{}
	k.start(s, s.KH*s.KW*s.OH()*s.OW()+s.H*s.W, k.scatter)
	return k
}

// Run computes dst from a and g. It is not safe for concurrent use.
func (k *ScatterMax[T]) Run(dst, a, g []T) { k.run(dst, a, g) }

func (k *ScatterMax[T]) scatter(_, at int) {
	a, g, dst := k.large(k.a, at), k.small(k.b, at), k.large(k.dst, at)
	clear(dst)
	i := 0
	for y := range k.oh {
		for x := range k.ow {
			dst[firstMax(a, k.s, y, x)] += g[i]
			i++
		}
	}
}
