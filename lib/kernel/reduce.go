package kernel

// Sum sums over one axis: src [outer, axis, inner] to dst [outer, inner]. The order of each sum is fixed.
type Sum[T Float] struct {
	outer, axis, inner int
	chunks             int // partial sums per output; more than 1 if the axis is long (and, if inner > 1, outputs are few)
	partial            []T
	dst, src           []T
	body               func(worker, piece int)
	pieces             int
	perPiece           int
	cols               int // width of a block of columns, if inner > 1
}

// sumChunk is the number of elements that are added up for a partial sum or, if inner > 1, for a block of partial
// sums. It is a constant, because the bits of results depend on it.
const sumChunk = 4096

// If there are fewer than fewOutputs outputs and inner > 1, long axes are summed in parts. sumColumns is the width of a
// block of columns. The bits of results depend on both constants.
const (
	fewOutputs = 16384
	sumColumns = 512
)

// NewSum prepares a sum over the middle axis of [outer, axis, inner].
func NewSum[T Float](outer, axis, inner int) *Sum[T] {
	s := &Sum[T]{outer: outer, axis: axis, inner: inner, chunks: 1}
	if inner == 1 {
		if axis > 2*sumChunk {
			s.chunks = (axis + sumChunk - 1) / sumChunk
			s.partial = make([]T, outer*s.chunks)
		}
		s.perPiece = max(1, grain/max(1, min(axis, sumChunk)))
		s.pieces = (outer*s.chunks + s.perPiece - 1) / s.perPiece
		s.body = s.rows
		return s
	}
	s.cols = min(inner, sumColumns)
	if per := sumChunk / s.cols; axis > 2*per && outer*inner < fewOutputs {
		s.chunks = (axis + per - 1) / per
		s.partial = make([]T, s.chunks*outer*inner)
	}
	s.pieces = outer * s.chunks * ((inner + s.cols - 1) / s.cols)
	s.body = s.columns
	return s
}

// Run computes dst from src. It is not safe for concurrent use.
func (s *Sum[T]) Run(dst, src []T) {
	s.dst, s.src = dst, src
	Parallel(s.pieces, s.body)
	if s.chunks > 1 {
		s.combine()
	}
	s.dst, s.src = nil, nil
}

func (s *Sum[T]) combine() {
	n := s.outer * s.inner
	if s.inner == 1 {
		for o := range s.outer {
			var v T
			for _, p := range s.partial[o*s.chunks : (o+1)*s.chunks] {
				v += p
			}
			s.dst[o] = v
		}
		return
	}
	copy(s.dst[:n], s.partial[:n])
	for c := 1; c < s.chunks; c++ {
		accumulate(s.dst[:n], s.partial[c*n:(c+1)*n])
	}
}

func (s *Sum[T]) rows(_, piece int) {
	total := s.outer * s.chunks
	for r := piece * s.perPiece; r < min((piece+1)*s.perPiece, total); r++ {
		if s.chunks == 1 {
			s.dst[r] = sumSlice(s.src[r*s.axis : (r+1)*s.axis])
			continue
		}
		o, c := r/s.chunks, r%s.chunks
		s.partial[r] = sumSlice(s.src[o*s.axis+c*sumChunk : o*s.axis+min((c+1)*sumChunk, s.axis)])
	}
}

func (s *Sum[T]) columns(_, piece int) {
	blocks := (s.inner + s.cols - 1) / s.cols
	block, rest := piece%blocks, piece/blocks
	chunk, o := rest%s.chunks, rest/s.chunks
	lo, hi := block*s.cols, min((block+1)*s.cols, s.inner)
	first, last := 0, s.axis
	out := s.dst[o*s.inner:]
	if s.chunks > 1 {
		per := sumChunk / s.cols
		first, last = chunk*per, min((chunk+1)*per, s.axis)
		out = s.partial[(chunk*s.outer+o)*s.inner:]
	}
	acc := out[lo:hi]
	clear(acc)
	for k := first; k < last; k++ {
		row := s.src[(o*s.axis+k)*s.inner:]
		accumulate(acc, row[lo:hi])
	}
}

// RowMax sets dst[i] to the largest element of row i of src [len(dst), n], or to NaN if the row contains a NaN.
func RowMax[T Float](dst, src []T, n int) {
	for i := range dst {
		v := src[i*n]
		for _, x := range src[i*n+1 : (i+1)*n] {
			v = max(v, x)
		}
		dst[i] = v
	}
}
