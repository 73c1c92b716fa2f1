package kernel

// WindowShape describes windows of KH x KW elements that move over planes [Planes, H, W] with strides StrideH, StrideW.
// The planes are padded by PadH rows and PadW columns on both sides. PadH must be less than KH, and PadW less than KW:
// then every window contains an element of its plane.
type WindowShape struct {
	Planes, H, W     int
	KH, KW           int
	StrideH, StrideW int
	PadH, PadW       int
}

// OH is the height of the output: the number of windows in a column.
func (s WindowShape) OH() int { return (s.H+2*s.PadH-s.KH)/s.StrideH + 1 }

// OW is the width of the output: the number of windows in a row.
func (s WindowShape) OW() int { return (s.W+2*s.PadW-s.KW)/s.StrideW + 1 }

// rows returns the range [lo, hi) of rows of the plane that the windows of output row y contain.
func (s WindowShape) rows(y int) (lo, hi int) {
	top := y*s.StrideH - s.PadH
	return max(0, top), min(s.H, top+s.KH)
}

// columns returns the range [lo, hi) of columns of the plane that the windows of output column x contain.
func (s WindowShape) columns(x int) (lo, hi int) {
	left := x*s.StrideW - s.PadW
	return max(0, left), min(s.W, left+s.KW)
}

// inside returns the range [lo, hi) of output columns for which column k of the window is inside the plane.
func (s WindowShape) inside(k, ow int) (lo, hi int) {
	lo = (max(0, s.PadW-k) + s.StrideW - 1) / s.StrideW
	if last := s.W - 1 + s.PadW - k; last >= 0 {
		hi = min(ow, last/s.StrideW+1)
	}
	return min(lo, hi), hi
}

// planeLoop calls a function for every plane. A piece covers one or more planes.
type planeLoop[T Float] struct {
	s         WindowShape
	oh, ow    int
	per       int
	plane     func(worker, at int)
	body      func(worker, piece int)
	dst, a, b []T // the arguments of run
}

// start sets the shape and the function. work is the number of elements that the function processes per plane.
func (l *planeLoop[T]) start(s WindowShape, work int, plane func(worker, at int)) {
	l.s, l.oh, l.ow = s, s.OH(), s.OW()
	l.per = max(1, grain/work)
	l.plane = plane
	l.body = l.piece
}

func (l *planeLoop[T]) run(dst, a, b []T) {
	l.dst, l.a, l.b = dst, a, b
	Parallel((l.s.Planes+l.per-1)/l.per, l.body)
	l.dst, l.a, l.b = nil, nil, nil
}

func (l *planeLoop[T]) piece(worker, piece int) {
	for at := piece * l.per; at < min((piece+1)*l.per, l.s.Planes); at++ {
		l.plane(worker, at)
	}
}

// large returns the plane with index at of an array [planes, H, W]; small returns that of an array [planes, OH, OW].
func (l *planeLoop[T]) large(v []T, at int) []T {
	n := l.s.H * l.s.W
	return v[at*n : (at+1)*n]
}

func (l *planeLoop[T]) small(v []T, at int) []T {
	n := l.oh * l.ow
	return v[at*n : (at+1)*n]
}

// slider reduces every window to one value by a separable operation. It first combines the elements of each column of a
// window from top to bottom. Then it combines the values of the columns from left to right. This order defines the bits
// of sums. Both steps work on a whole row or plane of windows at a time.
type slider[T Float] struct {
	planeLoop[T]
	combine func(dst, a []T) // dst = dst combined with a, element by element
	col     [][]T            // by worker: a row of combined columns with its padding
	across  [][]T            // by worker: the windows at every column, or further buffers if dense
	dense   bool             // both strides are 1: whole planes are combined at a time
}

// begin sets the operation and its neutral element, which is the value of the padding.
func (k *slider[T]) begin(s WindowShape, neutral T, combine func(dst, a []T)) {
	k.combine = combine
	k.dense = s.StrideH == 1 && s.StrideW == 1
	size, buffers := s.W+2*s.PadW, 1
	if k.dense {
		size, buffers = size*max(s.H, s.OH()), 2
	}
	k.col, k.across = make([][]T, Workers()), make([][]T, Workers())
	for i := range k.col {
		k.col[i], k.across[i] = make([]T, size), make([]T, buffers*size)
		for j := range k.col[i] {
			k.col[i][j] = neutral
		}
	}
}

// slide computes the plane dst [OH, OW] from src [H, W].
func (k *slider[T]) slide(worker int, dst, src []T) {
	if k.dense {
		k.slideDense(k.col[worker], k.across[worker], dst, src)
		return
	}
	s := k.s
	col := k.col[worker]
	inner := col[s.PadW : s.PadW+s.W]
	places := len(col) - s.KW + 1
	for y := range k.oh {
		lo, hi := s.rows(y)
		copy(inner, src[lo*s.W:(lo+1)*s.W])
		for r := lo + 1; r < hi; r++ {
			k.combine(inner, src[r*s.W:(r+1)*s.W])
		}
		out := dst[y*k.ow : (y+1)*k.ow]
		all := out
		if s.StrideW > 1 {
			all = k.across[worker][:places]
		}
		copy(all, col[:places])
		for c := 1; c < s.KW; c++ {
			k.combine(all, col[c:c+places])
		}
		if s.StrideW > 1 {
			for x := range out {
				out[x] = all[x*s.StrideW]
			}
		}
	}
}

// slideDense is slide for strides of 1. padded is memory for a plane with its padding on the left and right.
func (k *slider[T]) slideDense(padded, buffers, dst, src []T) {
	s, width := k.s, k.s.W+2*k.s.PadW
	for y := range s.H {
		copy(padded[y*width+s.PadW:], src[y*s.W:(y+1)*s.W])
	}
	down, across := buffers[:k.oh*width], buffers[len(buffers)/2:][:k.oh*width-s.KW+1]
	// Row r of the windows is inside the plane for output rows [lo, hi). For output rows before started, row r is the
	// first one inside the plane, so it is copied. For the other output rows, it is combined with the previous rows.
	for r := range s.KH {
		lo, hi := max(0, s.PadH-r), min(k.oh, s.H+s.PadH-r)
		if lo >= hi {
			continue
		}
		rows, started := padded[(lo+r-s.PadH)*width:], lo
		switch {
		case r == 0:
			started = hi
		case r <= s.PadH:
			started = lo + 1
		}
		copy(down[lo*width:started*width], rows)
		if started < hi {
			k.combine(down[started*width:hi*width], rows[(started-lo)*width:])
		}
	}
	copy(across, down)
	for c := 1; c < s.KW; c++ {
		k.combine(across, down[c:])
	}
	for y := range k.oh {
		copy(dst[y*k.ow:(y+1)*k.ow], across[y*width:])
	}
}

// WindowSum sums the elements of every window, with padding 0: src [planes, H, W] to dst [planes, OH, OW].
type WindowSum[T Float] struct{ slider[T] }

// NewWindowSum prepares the sums.
func NewWindowSum[T Float](s WindowShape) *WindowSum[T] {
	k := &WindowSum[T]{}
	k.start(s, (s.KH+s.KW)*s.OH()*s.W, k.sum)
	k.begin(s, 0, accumulate[T])
	return k
}

// Run computes dst from src. It is not safe for concurrent use.
func (k *WindowSum[T]) Run(dst, src []T) { k.run(dst, src, nil) }

func (k *WindowSum[T]) sum(worker, at int) {
	k.slide(worker, k.small(k.dst, at), k.large(k.a, at))
}

// WindowSumGrad adds the value of each window to all elements of the window: src [planes, OH, OW] to
// dst [planes, H, W]. It is the adjoint of WindowSum.
type WindowSumGrad[T Float] struct{ planeLoop[T] }

// NewWindowSumGrad prepares the adjoint of NewWindowSum(s).
func NewWindowSumGrad[T Float](s WindowShape) *WindowSumGrad[T] {
	k := &WindowSumGrad[T]{}
	k.start(s, s.KH*s.KW*s.OH()*s.OW()+s.H*s.W, k.add)
	return k
}

// Run computes dst from src. It is not safe for concurrent use.
func (k *WindowSumGrad[T]) Run(dst, src []T) { k.run(dst, src, nil) }

func (k *WindowSumGrad[T]) add(_, at int) {
	s, src, dst := k.s, k.small(k.a, at), k.large(k.dst, at)
	clear(dst)
	for y := range k.oh {
		in := src[y*k.ow : (y+1)*k.ow]
		lo, hi := s.rows(y)
		for r := lo; r < hi; r++ {
			row := dst[r*s.W : (r+1)*s.W]
			for c := range s.KW {
				first, last := s.inside(c, k.ow)
				if first == last {
					continue
				}
				to := row[first*s.StrideW+c-s.PadW:]
				if s.StrideW == 1 {
					accumulate(to[:last-first], in[first:last])
					continue
				}
				for i, v := range in[first:last] {
					to[i*s.StrideW] += v
				}
			}
		}
	}
}

// accumulate adds a to dst.
func accumulate[T Float](dst, a []T) {
	a = a[:len(dst)]
	if m := assemblyFor[T](); m != nil {
		m.add(first(dst), first(dst), first(a), len(dst))
		return
	}
	add(dst, dst, a)
}
