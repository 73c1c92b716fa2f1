package kernel

import "vapo/lib/blas"

// ConvShape describes a two-dimensional convolution: x [N, Cin, H, W], w [Cout, Cin, KH, KW] and
// y [N, Cout, OH, OW], with zero padding PadH, PadW on both sides.
type ConvShape struct {
	N, Cin, H, W     int
	Cout, KH, KW     int
	StrideH, StrideW int
	PadH, PadW       int
}

// OH is the height of the output.
func (s ConvShape) OH() int { return (s.H+2*s.PadH-s.KH)/s.StrideH + 1 }

// OW is the width of the output.
func (s ConvShape) OW() int { return (s.W+2*s.PadW-s.KW)/s.StrideW + 1 }

// patch is the length of one im2col column.
func (s ConvShape) patch() int { return s.Cin * s.KH * s.KW }

// groupColumns is the number of GEMM columns that small images are gathered to: below it the library's inner
// kernel runs part empty.
const groupColumns = 512

// convWorker is the scratch memory of one goroutine.
type convWorker[T Float] struct {
	col []T // [patch, columns]: unfolded input
	mat []T // [channels, columns]: the other operand or the result, images side by side
}

// convBase is what the three convolutions share: images are taken in groups whose size depends on the shape
// alone, each group one matrix product.
type convBase[T Float] struct {
	lib     blas.Library
	s       ConvShape
	group   int // images a matrix product
	groups  int
	pix     int // OH·OW
	workers []convWorker[T]
}

func newConvBase[T Float](lib blas.Library, s ConvShape, channels int) convBase[T] {
	pix := s.OH() * s.OW()
	b := convBase[T]{lib: lib, s: s, pix: pix}
	b.group = min(s.N, max(1, groupColumns/max(1, pix)))
	for g := b.group; 2*g > b.group; g-- { // groups of one size share out evenly
		if s.N%g == 0 {
			b.group = g
			break
		}
	}
	b.groups = (s.N + b.group - 1) / b.group
	b.workers = make([]convWorker[T], Workers())
	for i := range b.workers {
		if !b.pointwise() || b.group > 1 {
			b.workers[i].col = make([]T, s.patch()*b.group*pix)
		}
		if b.group > 1 {
			b.workers[i].mat = make([]T, channels*b.group*pix)
		}
	}
	return b
}

// pointwise says that the convolution is a plain product over channels: no unfolding is needed.
func (b *convBase[T]) pointwise() bool {
	s := b.s
	return s.KH == 1 && s.KW == 1 && s.StrideH == 1 && s.StrideW == 1 && s.PadH == 0 && s.PadW == 0
}

// unfold writes image x [Cin, H, W] as columns at offset at of col, whose rows are ld long.
func unfold[T Float](col []T, ld, at int, x []T, s ConvShape) {
	oh, ow := s.OH(), s.OW()
	row := 0
	for c := range s.Cin {
		plane := x[c*s.H*s.W : (c+1)*s.H*s.W]
		for kh := range s.KH {
			for kw := range s.KW {
				out := col[row*ld+at:][:oh*ow]
				row++
				if s.StrideW == 1 && s.StrideH == 1 && ow == s.W && oh == s.H {
					shiftPlane(out, plane, s.W, kh-s.PadH, kw-s.PadW)
				} else {
					unfoldStrided(out, plane, s, kh, kw, oh, ow)
				}
			}
		}
	}
}

// shiftPlane writes out[y,x] = plane[y+dy, x+dx], zero outside: one copy of the whole plane, after which the columns
// that wrapped around to a neighbouring row are cleared.
func shiftPlane[T Float](out, plane []T, w, dy, dx int) {
	shift := dy*w + dx
	lo, hi := max(0, -shift), min(len(out), len(out)-shift)
	if hi <= lo {
		clear(out)
		return
	}
	clear(out[:lo])
	copy(out[lo:hi], plane[lo+shift:hi+shift])
	clear(out[hi:])
	for x := 0; x < -dx; x++ {
		for i := x; i < len(out); i += w {
			out[i] = 0
		}
	}
	for x := w - dx; x < w; x++ {
		for i := x; i < len(out); i += w {
			out[i] = 0
		}
	}
}

func unfoldStrided[T Float](out, plane []T, s ConvShape, kh, kw, oh, ow int) {
	for y := range oh {
		iy := y*s.StrideH + kh - s.PadH
		for x := range ow {
			ix := x*s.StrideW + kw - s.PadW
			if iy < 0 || iy >= s.H || ix < 0 || ix >= s.W {
				out[y*ow+x] = 0
			} else {
				out[y*ow+x] = plane[iy*s.W+ix]
			}
		}
	}
}

// fold adds the columns at offset at of col back onto image x [Cin, H, W]: the adjoint of unfold.
func fold[T Float](x []T, col []T, ld, at int, s ConvShape) {
	oh, ow := s.OH(), s.OW()
	row := 0
	for c := range s.Cin {
		plane := x[c*s.H*s.W : (c+1)*s.H*s.W]
		for kh := range s.KH {
			for kw := range s.KW {
				in := col[row*ld+at:][:oh*ow]
				row++
				for y := range oh {
					iy := y*s.StrideH + kh - s.PadH
					if iy < 0 || iy >= s.H {
						continue
					}
					for j := range ow {
						ix := j*s.StrideW + kw - s.PadW
						if ix >= 0 && ix < s.W {
							plane[iy*s.W+ix] += in[y*ow+j]
						}
					}
				}
			}
		}
	}
}

// columns returns the unfolded images [first, first+count) and the row length.
func (b *convBase[T]) columns(w *convWorker[T], x []T, first, count int) ([]T, int) {
	s := b.s
	size := s.Cin * s.H * s.W
	if b.pointwise() && b.group == 1 {
		return x[first*size : (first+1)*size], b.pix
	}
	ld := count * b.pix
	for i := range count {
		unfold(w.col, ld, i*b.pix, x[(first+i)*size:(first+i+1)*size], s)
	}
	return w.col, ld
}

// gather returns the images [first, first+count) of y [N, channels, pix] side by side as [channels, count·pix].
func (b *convBase[T]) gather(w *convWorker[T], y []T, channels, first, count int) ([]T, int) {
	if b.group == 1 {
		return y[first*channels*b.pix : (first+1)*channels*b.pix], b.pix
	}
	ld := count * b.pix
	for i := range count {
		for c := range channels {
			copy(w.mat[c*ld+i*b.pix:][:b.pix], y[((first+i)*channels+c)*b.pix:][:b.pix])
		}
	}
	return w.mat, ld
}

// Conv computes y = x * w (cross-correlation, as every deep-learning library calls convolution).
type Conv[T Float] struct {
	convBase[T]
	y, x, w []T
	body    func(worker, piece int)
}

// NewConv prepares a convolution of shape s.
func NewConv[T Float](lib blas.Library, s ConvShape) *Conv[T] {
	c := &Conv[T]{convBase: newConvBase[T](lib, s, s.Cout)}
	c.body = c.piece
	return c
}

// Run computes y [N, Cout, OH, OW] from x [N, Cin, H, W] and w [Cout, Cin, KH, KW].
func (c *Conv[T]) Run(y, x, w []T) {
	c.y, c.x, c.w = y, x, w
	Parallel(c.groups, c.body)
	c.y, c.x, c.w = nil, nil, nil
}

func (c *Conv[T]) piece(worker, g int) {
	w := &c.workers[worker]
	first := g * c.group
	count := min(c.group, c.s.N-first)
	col, ld := c.columns(w, c.x, first, count)
	out := c.y[first*c.s.Cout*c.pix:]
	if c.group > 1 {
		out = w.mat
	}
	blas.Gemm(c.lib, false, false, c.s.Cout, ld, c.s.patch(), 1, c.w, c.s.patch(), col, ld, 0, out, ld)
	if c.group > 1 {
		for i := range count {
			for ch := range c.s.Cout {
				copy(c.y[((first+i)*c.s.Cout+ch)*c.pix:][:c.pix], out[ch*ld+i*c.pix:][:c.pix])
			}
		}
	}
}

// ConvFilterGrad computes the adjoint of Conv in w: dw = sum over images of g times the unfolded x.
type ConvFilterGrad[T Float] struct {
	convBase[T]
	parts   int // partial sums over fixed runs of groups
	perPart int
	partial []T
	dw      []T
	x, g    []T
	body    func(worker, piece int)
}

// filterParts bounds the partial sums that a batch is cut into: enough to occupy the cores of one machine,
// fixed so that the sum has the same bits on all.
const filterParts = 8

// NewConvFilterGrad prepares the filter gradient of a convolution of shape s.
func NewConvFilterGrad[T Float](lib blas.Library, s ConvShape) *ConvFilterGrad[T] {
	c := &ConvFilterGrad[T]{convBase: newConvBase[T](lib, s, s.Cout)}
	c.perPart = (c.groups + filterParts - 1) / filterParts
	c.parts = (c.groups + c.perPart - 1) / c.perPart
	c.partial = make([]T, c.parts*s.Cout*s.patch())
	c.body = c.piece
	return c
}

// Run computes dw [Cout, Cin, KH, KW] from x [N, Cin, H, W] and g [N, Cout, OH, OW].
func (c *ConvFilterGrad[T]) Run(dw, x, g []T) {
	c.dw, c.x, c.g = dw, x, g
	Parallel(c.parts, c.body)
	n := c.s.Cout * c.s.patch()
	copy(dw[:n], c.partial[:n])
	for p := 1; p < c.parts; p++ {
		add(dw[:n], dw[:n], c.partial[p*n:(p+1)*n])
	}
	c.dw, c.x, c.g = nil, nil, nil
}

func (c *ConvFilterGrad[T]) piece(worker, part int) {
	w := &c.workers[worker]
	n := c.s.Cout * c.s.patch()
	out := c.partial[part*n : (part+1)*n]
	var beta T
	for g := part * c.perPart; g < min((part+1)*c.perPart, c.groups); g++ {
		first := g * c.group
		count := min(c.group, c.s.N-first)
		col, ld := c.columns(w, c.x, first, count)
		grad, _ := c.gather(w, c.g, c.s.Cout, first, count)
		blas.Gemm(c.lib, false, true, c.s.Cout, c.s.patch(), ld, 1, grad, ld, col, ld, beta, out, c.s.patch())
		beta = 1
	}
}

// ConvInputGrad computes the adjoint of Conv in x: every output gradient spread back over its patch.
type ConvInputGrad[T Float] struct {
	convBase[T]
	flipped *Conv[T] // the same thing as a convolution with turned filters, where the stride is 1
	turned  []T
	dx      []T
	g, w    []T
	body    func(worker, piece int)
}

// NewConvInputGrad prepares the input gradient of a convolution of shape s.
func NewConvInputGrad[T Float](lib blas.Library, s ConvShape) *ConvInputGrad[T] {
	c := &ConvInputGrad[T]{}
	if s.StrideH == 1 && s.StrideW == 1 && s.PadH < s.KH && s.PadW < s.KW {
		c.s = s
		c.turned = make([]T, s.Cout*s.patch())
		c.flipped = NewConv[T](lib, ConvShape{
			N: s.N, Cin: s.Cout, H: s.OH(), W: s.OW(), Cout: s.Cin, KH: s.KH, KW: s.KW,
			StrideH: 1, StrideW: 1, PadH: s.KH - 1 - s.PadH, PadW: s.KW - 1 - s.PadW,
		})
		return c
	}
	c.convBase = newConvBase[T](lib, s, s.Cout)
	for i := range c.workers {
		c.workers[i].col = make([]T, s.patch()*c.group*c.pix)
	}
	c.body = c.piece
	return c
}

// Run computes dx [N, Cin, H, W] from g [N, Cout, OH, OW] and w [Cout, Cin, KH, KW].
func (c *ConvInputGrad[T]) Run(dx, g, w []T) {
	if c.flipped != nil {
		turnFilters(c.turned, w, c.s)
		c.flipped.Run(dx, g, c.turned)
		return
	}
	c.dx, c.g, c.w = dx, g, w
	Parallel(c.groups, c.body)
	c.dx, c.g, c.w = nil, nil, nil
}

// turnFilters writes w [Cout, Cin, KH, KW] as [Cin, Cout, KH, KW], each filter rotated by half a turn.
func turnFilters[T Float](dst, w []T, s ConvShape) {
	k := s.KH * s.KW
	for o := range s.Cout {
		for i := range s.Cin {
			from, to := w[(o*s.Cin+i)*k:][:k], dst[(i*s.Cout+o)*k:][:k]
			for j, v := range from {
				to[k-1-j] = v
			}
		}
	}
}

func (c *ConvInputGrad[T]) piece(worker, g int) {
	w := &c.workers[worker]
	s := c.s
	first := g * c.group
	count := min(c.group, s.N-first)
	grad, ld := c.gather(w, c.g, s.Cout, first, count)
	blas.Gemm(c.lib, true, false, s.patch(), ld, s.Cout, 1, c.w, s.patch(), grad, ld, 0, w.col, ld)
	size := s.Cin * s.H * s.W
	for i := range count {
		dx := c.dx[(first+i)*size : (first+i+1)*size]
		clear(dx)
		fold(dx, w.col, ld, i*c.pix, s)
	}
}
