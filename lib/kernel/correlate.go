package kernel

import "vapo/lib/microkernel"

// correlation is the part that Conv and ConvInputGrad share. Every output channel is a sum over input channels and
// taps; each term is a weight times a view of the input. Views are copied for one block of input channels at a time.
// A block is small enough for the second-level cache, and its contribution is added to all output channels. If input
// and output have the same size, some machines are faster without copies. On these machines, the micro-kernel reads the
// input through windows.
type correlation[T Float] struct {
	n, in, out int // images, input channels and output channels
	views      views
	windows    [][]microkernel.Window // for each tile of an image; nil if the input is copied to views
	tiles      convTiles
	channels   int // input channels per block
	// filters holds the weights in the layout of the micro-kernel: panels of 16 output channels, each with the weights of
	// every input channel and tap.
	filters [][]T
	bufs    [][]T
	y, x, w []T
	body    func(worker, piece int)
	pack    func(worker, panel int) // writes a panel of filters
}

// runLength is the largest number of products that are summed in registers before their sum is added to the output. (A
// filter with more taps has one sum for each input channel.) The part of the views that these products read fits in the
// first-level cache. The last bits of the results depend on runLength.
const runLength = 144

func newCorrelation[T Float](n, in, out int, h, w axis) *correlation[T] {
	c := &correlation[T]{n: n, in: in, out: out, tiles: newConvTiles(n, h.out, w.out)}
	c.channels = min(in, max(1, runLength/(h.taps*w.taps)))
	c.views = newViews(h, w, c.channels, c.tiles.rows)
	c.filters = make([][]T, 1)
	c.body = c.piece
	size := c.panels() * c.panel()
	if c.usesWindows() {
		c.windows = make([][]microkernel.Window, c.tiles.cuts)
		for i := range c.windows {
			c.windows[i] = newWindows(h, w, c.tiles.tile(i, n, h.out))
		}
	} else {
		c.bufs = make([][]T, min(Workers(), c.tiles.count))
		size = max(size, c.views.size(c.channels))
	}
	scratchOf[T]().reserve(size)
	return c
}

func (c *correlation[T]) usesWindows() bool {
	_, single := any(T(0)).(float32)
	fits := func(a *axis) bool { return a.in == a.out && a.stride == 1 && a.zeros == 1 }
	return single && microkernel.PrefersWindows(c.out, c.taps()) && fits(&c.views.h) && fits(&c.views.w)
}

// newWindows divides the output pixels that tile k has in one image into windows.
func newWindows(h, w axis, k tile) []microkernel.Window {
	var ws []microkernel.Window
	for q, end := k.top*w.out, (k.top+k.rows)*w.out; q < end; {
		cols := nextColumns(end - q)
		ws = append(ws, microkernel.NewWindow(h.in, w.in, h.taps, w.taps, h.pad, w.pad, q, cols))
		q += cols
	}
	return ws
}

func (c *correlation[T]) taps() int { return c.views.h.taps * c.views.w.taps }

// panels is the number of filter panels. panel is the length of one panel in elements.
func (c *correlation[T]) panels() int {
	return (c.out + microkernel.Panel - 1) / microkernel.Panel
}
func (c *correlation[T]) panel() int { return c.in * c.taps() * microkernel.Panel }

// Run computes y [n, out, OH, OW] from x [n, in, H, W] and the filters w. It is not safe for concurrent use.
func (c *correlation[T]) Run(y, x, w []T) {
	c.y, c.x, c.w = y, x, w
	scratchOf[T]().take(c.filters, c.panels()*c.panel())
	scratchOf[T]().take(c.bufs, c.views.size(c.channels))
	Parallel(c.panels(), c.pack)
	Parallel(c.tiles.count, c.body)
	scratchOf[T]().give(c.filters)
	scratchOf[T]().give(c.bufs)
	c.y, c.x, c.w = nil, nil, nil
}

func (c *correlation[T]) piece(worker, piece int) {
	v := &c.views
	var buf []T
	if c.windows == nil {
		buf = c.bufs[worker]
	}
	k := c.tiles.tile(piece, c.n, v.h.out)
	image := v.h.in * v.w.in * c.in
	for c0 := 0; c0 < c.in; c0 += c.channels {
		c1 := min(c0+c.channels, c.in)
		for i := k.first; i < k.first+k.images; i++ {
			if c.windows != nil {
				c.blockThroughWindows(c.windows[piece%c.tiles.cuts], i, k, c0, c1)
				continue
			}
			fillViews(v, buf, c.x[i*image:(i+1)*image], c0, c1, k.top, k.rows)
			c.block(buf, i, k, c0, c1)
		}
	}
}

// block adds the contribution of input channels [c0, c1) to all output channels of an image's tile. If c0 is 0, it
// overwrites them instead.
func (c *correlation[T]) block(buf []T, image int, k tile, c0, c1 int) {
	pix := c.views.h.out * c.views.w.out
	off := c.views.off.Slice(0, (c1-c0)*c.taps())
	p := microkernel.Product{Off: off, Rows: c.out, Stride: pix, Next: c.panel(), Add: c0 > 0}
	y := c.y[image*c.out*pix+k.top*c.views.w.out:]
	pixels := k.rows * c.views.w.out
	for q := 0; q < pixels; q += p.Cols {
		p.Cols = nextColumns(pixels - q)
		microkernel.Multiply(&p, c.filters[0][c0*c.taps()*microkernel.Panel:], buf[q:], y[q:])
	}
}

// blockThroughWindows does the same as block without copies: the micro-kernel reads the input through windows.
func (c *correlation[T]) blockThroughWindows(windows []microkernel.Window, image int, k tile, c0, c1 int) {
	pix := c.views.h.out * c.views.w.out
	p := microkernel.Correlation{Channels: c1 - c0, Plane: pix, Rows: c.out, Stride: pix, Next: c.panel(), Add: c0 > 0}
	a := asFloat32(c.filters[0][c0*c.taps()*microkernel.Panel:])
	x := asFloat32(c.x[(image*c.in+c0)*pix:])
	y := asFloat32(c.y[image*c.out*pix+k.top*c.views.w.out:])
	for i := range windows {
		p.Multiply(&windows[i], a, x, y)
		y = y[windows[i].Columns():]
	}
}

// nextColumns returns the number of columns for the next call of the micro-kernel, if left columns remain. Two calls of
// medium width are better than a wide one and a narrow one.
func nextColumns(left int) int {
	const third = microkernel.Columns / 3
	if left > 3*third && left <= 4*third {
		return 2 * third
	}
	return min(left, 3*third)
}
