package kernel

// WindowShape describes windows that move over planes [Planes, H, W]: KH x KW elements at steps of StrideH, StrideW,
// the planes padded by PadH rows and PadW columns on both sides. PadH < KH and PadW < KW, so that every window holds
// an element of its plane.
type WindowShape struct {
	Planes, H, W     int
	KH, KW           int
	StrideH, StrideW int
	PadH, PadW       int
}

// OH is the number of windows from top to bottom.
func (s WindowShape) OH() int { return (s.H+2*s.PadH-s.KH)/s.StrideH + 1 }

// OW is the number of windows from left to right.
func (s WindowShape) OW() int { return (s.W+2*s.PadW-s.KW)/s.StrideW + 1 }

// rows returns the rows [lo, hi) of the plane that windows at height y hold.
func (s WindowShape) rows(y int) (lo, hi int) {
	top := y*s.StrideH - s.PadH
	return max(0, top), min(s.H, top+s.KH)
}

// columns returns the columns [lo, hi) of the plane that windows at position x hold.
func (s WindowShape) columns(x int) (lo, hi int) {
	left := x*s.StrideW - s.PadW
	return max(0, left), min(s.W, left+s.KW)
}

// inside returns the positions [lo, hi) whose windows have their k-th column inside of the plane.
func (s WindowShape) inside(k, ow int) (lo, hi int) {
	lo = (max(0, s.PadW-k) + s.StrideW - 1) / s.StrideW
	if last := s.W - 1 + s.PadW - k; last >= 0 {
		hi = min(ow, last/s.StrideW+1)
	}
	return min(lo, hi), hi
}

// planeLoop runs a function over planes, several a piece.
type planeLoop[T Float] struct {
	s      WindowShape
	oh, ow int
	per    int
	plane  func(worker, at int)
	body   func(worker, piece int)
}

// start fixes the function; work is the number of elements of a plane that it goes through.
func (l *planeLoop[T]) start(s WindowShape, work int, plane func(worker, at int)) {
	l.s, l.oh, l.ow = s, s.OH(), s.OW()
	l.per = max(1, grain/work)
	l.plane = plane
	l.body = l.piece
}

func (l *planeLoop[T]) run() { Parallel((l.s.Planes+l.per-1)/l.per, l.body) }

func (l *planeLoop[T]) piece(worker, piece int) {
	for at := piece * l.per; at < min((piece+1)*l.per, l.s.Planes); at++ {
		l.plane(worker, at)
	}
}

// large returns the plane at of an array like the windows' input, small of one with a number a window.
func (l *planeLoop[T]) large(v []T, at int) []T {
	n := l.s.H * l.s.W
	return v[at*n : (at+1)*n]
}

func (l *planeLoop[T]) small(v []T, at int) []T {
	n := l.oh * l.ow
	return v[at*n : (at+1)*n]
}

// slider reduces every window to one number with an operation that may be applied to columns first and rows then, to
// whole rows of windows at a time.
type slider[T Float] struct {
	planeLoop[T]
	combine func(dst, a []T) // dst = dst combined with a, element by element
	col     [][]T            // by worker: a row of combined columns with its padding
	across  [][]T            // by worker: the windows at every position, where some are left out
	dense   bool             // the windows lie at every position, and whole planes are combined at a time
}

// begin fixes the operation and its neutral element, which stands for the padding.
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

// slideDense is slide for windows at every position. padded is a plane with its padding to the left and right.
func (k *slider[T]) slideDense(padded, buffers, dst, src []T) {
	s, width := k.s, k.s.W+2*k.s.PadW
	for y := range s.H {
		copy(padded[y*width+s.PadW:], src[y*s.W:(y+1)*s.W])
	}
	down, across := buffers[:k.oh*width], buffers[len(buffers)/2:][:k.oh*width-s.KW+1]
	for r := range s.KH { // row r of the windows at heights [lo, hi); the first of them may have no row before it
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

// WindowSum adds the elements of every window up, padding counting as 0: [planes, H, W] to [planes, OH, OW].
type WindowSum[T Float] struct {
	slider[T]
	dst, src []T
}

// NewWindowSum prepares the sums.
func NewWindowSum[T Float](s WindowShape) *WindowSum[T] {
	k := &WindowSum[T]{}
	k.start(s, (s.KH+s.KW)*s.OH()*s.W, k.sum)
	k.begin(s, 0, accumulate[T])
	return k
}

// Run computes dst from src. It is not safe for concurrent use.
func (k *WindowSum[T]) Run(dst, src []T) {
	k.dst, k.src = dst, src
	k.run()
	k.dst, k.src = nil, nil
}

func (k *WindowSum[T]) sum(worker, at int) {
	k.slide(worker, k.small(k.dst, at), k.large(k.src, at))
}

// WindowSpread adds one number a window to all elements of the window: [planes, OH, OW] to [planes, H, W]. It is the
// adjoint of WindowSum.
type WindowSpread[T Float] struct {
	planeLoop[T]
	dst, src []T
}

// NewWindowSpread prepares the spreading.
func NewWindowSpread[T Float](s WindowShape) *WindowSpread[T] {
	k := &WindowSpread[T]{}
	k.start(s, s.KH*s.KW*s.OH()*s.OW()+s.H*s.W, k.spread)
	return k
}

// Run computes dst from src. It is not safe for concurrent use.
func (k *WindowSpread[T]) Run(dst, src []T) {
	k.dst, k.src = dst, src
	k.run()
	k.dst, k.src = nil, nil
}

func (k *WindowSpread[T]) spread(_, at int) {
	s, src, dst := k.s, k.small(k.src, at), k.large(k.dst, at)
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
