package kernel

// Softmax computes e^x / sum e^x along each row: src [rows, n] to dst [rows, n]. The largest element of a row is
// subtracted first, so that no exponential overflows and the sum is at least 1. A row that contains NaN or +Inf, or
// only -Inf, becomes NaN.
type Softmax[T Float] struct {
	rows, n  int
	per      int // rows per piece
	dst, src []T
	body     func(worker, piece int)
}

// NewSoftmax prepares the softmax of [rows, n].
func NewSoftmax[T Float](rows, n int) *Softmax[T] {
	// An exponential costs about as much as four light operations.
	s := &Softmax[T]{rows: rows, n: n, per: max(1, grain/4/n)}
	s.body = s.piece
	return s
}

// Run computes dst from src. The two slices must not overlap. Run is not safe for concurrent use.
func (s *Softmax[T]) Run(dst, src []T) {
	s.dst, s.src = dst, src
	Parallel((s.rows+s.per-1)/s.per, s.body)
	s.dst, s.src = nil, nil
}

func (s *Softmax[T]) piece(_, piece int) {
	for r := piece * s.per; r < min((piece+1)*s.per, s.rows); r++ {
		dst, src := s.dst[r*s.n:(r+1)*s.n], s.src[r*s.n:(r+1)*s.n]
		expShifted(dst, src, largest(src))
		scale(dst, 1/sumSlice(dst))
	}
}

// largest returns the maximum of v. If v contains a NaN, the result may be any element of v, because the vector
// instruction does not propagate NaNs.
func largest[T Float](v []T) T {
	if m := assemblyFor[T](); m != nil && len(v) > 0 {
		return T(m.largest(first(v), len(v)))
	}
	most := v[0]
	for _, x := range v {
		most = max(most, x)
	}
	return most
}

// expShifted sets dst to e^(a-shift).
func expShifted[T Float](dst, a []T, shift T) {
	a = a[:len(dst)]
	if m := assemblyFor[T](); m != nil {
		m.expShifted(first(dst), first(a), float32(shift), len(dst))
		return
	}
	for i := range dst {
		dst[i] = exp(a[i] - shift)
	}
}

// scale multiplies v by p in place.
func scale[T Float](v []T, p T) {
	if m := assemblyFor[T](); m != nil {
		m.mulScalar(first(v), first(v), float32(p), len(v))
		return
	}
	for i := range v {
		v[i] *= p
	}
}
