package kernel

import "vapo/lib/microkernel"

// ConvFilterGrad computes the gradient with respect to the filters w. The gradient of a weight is a sum over all output
// pixels: the output gradient at the pixel times the input element that the weight multiplies there.
//
// The input is transposed to channels-last order. The elements that the taps of one filter row read are then
// contiguous, and every filter row reads the same memory from a different offset.
type ConvFilterGrad[T Float] struct {
	s          ConvShape
	tiles      convTiles
	channels   int // input channels per block
	blocks     int
	parts      int                 // partial sums, each over consecutive tiles
	perPart    int                 // tiles per partial sum
	ih, iw     int                 // size of the padded part of an image that a tile reads
	joined     bool                // whether join copies the input of each pixel to consecutive elements
	line       int                 // input elements that one filter row reads for a pixel, or the whole filter if joined
	lines      int                 // filter rows; 1 if joined
	off        microkernel.Offsets // the first element of each pixel of a tile
	size       int                 // scratch elements per worker
	transposed int                 // scratch elements that hold transposed images; a part of size
	bufs       [][]T
	sums       [][]T // one buffer: [parts, blocks, lines, Cout, line]
	dw, x, g   []T
	body       func(worker, piece int)
	finish     func(worker, piece int)
}

const (
	// blockChannels is the number of input channels per block.
	blockChannels = 32
	// runPixels is the number of pixels whose products are summed in registers before their sum is added to the result.
	// The last bits of the results depend on runPixels.
	runPixels = 128
)

// NewConvFilterGrad prepares the filter gradient of a convolution of shape s.
func NewConvFilterGrad[T Float](s ConvShape) *ConvFilterGrad[T] {
	c := &ConvFilterGrad[T]{s: s, tiles: newConvTiles(s.N, s.OH(), s.OW()), channels: min(s.Cin, blockChannels)}
	c.blocks = (s.Cin + c.channels - 1) / c.channels
	c.parts = min(c.tiles.count, (leastTiles+c.blocks-1)/c.blocks)
	c.perPart = (c.tiles.count + c.parts - 1) / c.parts
	c.parts = (c.tiles.count + c.perPart - 1) / c.perPart
	c.ih, c.iw = (c.tiles.rows-1)*s.StrideH+s.KH, (s.OW()-1)*s.StrideW+s.KW
	c.line, c.lines = s.KW*c.channels, s.KH
	if c.joined = c.line < 16 && s.KH > 1; c.joined {
		c.line, c.lines = s.KH*c.line, 1
	}
	var at []int
	for i := range c.tiles.images {
		for y := range c.tiles.rows {
			for x := range s.OW() {
				if c.joined {
					at = append(at, len(at)*c.line)
				} else {
					at = append(at, ((i*c.ih+y*s.StrideH)*c.iw+x*s.StrideW)*c.channels)
				}
			}
		}
	}
	c.off = microkernel.NewOffsets(at)
	c.transposed = c.tiles.images * c.ih * c.iw * c.channels
	c.size = c.transposed + len(at)*c.panels()*microkernel.Panel
	if c.joined {
		c.size += len(at) * c.line
	}
	scratchOf[T]().reserve(max(c.size, c.parts*c.part()))
	c.bufs = make([][]T, min(Workers(), c.blocks*c.parts))
	c.sums = make([][]T, 1)
	c.body, c.finish = c.piece, c.collect
	return c
}

func (c *ConvFilterGrad[T]) panels() int {
	return (c.s.Cout + microkernel.Panel - 1) / microkernel.Panel
}

// part is the length of a partial sum in elements.
func (c *ConvFilterGrad[T]) part() int { return c.blocks * c.lines * c.s.Cout * c.line }

// Run computes dw [Cout, Cin, KH, KW] from x [N, Cin, H, W] and g [N, Cout, OH, OW].
func (c *ConvFilterGrad[T]) Run(dw, x, g []T) {
	c.dw, c.x, c.g = dw, x, g
	scratchOf[T]().take(c.bufs, c.size)
	scratchOf[T]().take(c.sums, c.parts*c.part())
	Parallel(c.blocks*c.parts, c.body)
	Parallel(c.s.Cout, c.finish)
	scratchOf[T]().give(c.bufs)
	scratchOf[T]().give(c.sums)
	c.dw, c.x, c.g = nil, nil, nil
}

func (c *ConvFilterGrad[T]) piece(worker, piece int) {
	block, part := piece%c.blocks, piece/c.blocks
	sum := c.sums[0][part*c.part()+block*c.lines*c.s.Cout*c.line:]
	first := part * c.perPart
	for i := first; i < min(first+c.perPart, c.tiles.count); i++ {
		k := c.tiles.tile(i, c.s.N, c.s.OH())
		c.tile(c.bufs[worker], sum, k, block*c.channels, i > first)
	}
}

// tile adds the contribution of tile k to sum. If add is false, it overwrites sum instead.
func (c *ConvFilterGrad[T]) tile(buf, sum []T, k tile, c0 int, add bool) {
	s := &c.s
	n := min(c.channels, s.Cin-c0)
	at, buf := buf[:c.transposed], buf[c.transposed:]
	for i := range k.images {
		image := c.x[((k.first+i)*s.Cin+c0)*s.H*s.W:]
		c.transpose(at[i*c.ih*c.iw*c.channels:], image, k, n)
	}
	pixels := k.images * k.rows * s.OW()
	if c.joined {
		joined := buf[:pixels*c.line]
		buf = buf[pixels*c.line:]
		c.join(joined, at, k)
		at = joined
	}
	for panel := range c.panels() {
		c.gradients(buf[panel*pixels*microkernel.Panel:], k, panel)
	}
	p := microkernel.Product{Rows: s.Cout, Stride: c.line, Next: pixels * microkernel.Panel, Add: add}
	for q := 0; q < pixels; q += runPixels {
		p.Off = c.off.Slice(q, min(q+runPixels, pixels))
		for line := range c.lines {
			from, to := at[line*c.iw*c.channels:], sum[line*s.Cout*c.line:]
			for j := 0; j < c.line; j += p.Cols {
				p.Cols = nextColumns(c.line - j)
				microkernel.Multiply(&p, buf[q*microkernel.Panel:], from[j:], to[j:])
			}
		}
		p.Add = true
	}
}

// transpose copies n channels of an image to dst in channels-last order. It copies only the part that tile k reads,
// padding included.
func (c *ConvFilterGrad[T]) transpose(dst, image []T, k tile, n int) {
	s, plane := &c.s, c.s.H*c.s.W
	left := min(s.PadW, c.iw)
	width := max(0, min(s.W, c.iw-left))
	for y := range (k.rows-1)*s.StrideH + s.KH {
		to := dst[y*c.iw*c.channels : (y+1)*c.iw*c.channels]
		iy := k.top*s.StrideH + y - s.PadH
		if iy < 0 || iy >= s.H {
			clear(to)
			continue
		}
		clear(to[:left*c.channels])
		clear(to[(left+width)*c.channels:])
		for ch := 0; ch < n; ch += microkernel.Panel {
			pixels, from := to[left*c.channels+ch:], image[ch*plane+iy*s.W:]
			microkernel.Transpose(pixels, c.channels, from, plane, min(microkernel.Panel, n-ch), width)
		}
		if n < c.channels { // clear the channels that the last block lacks; products with them are never read
			for x := range width {
				clear(to[(left+x)*c.channels+n : (left+x+1)*c.channels])
			}
		}
	}
}

// join copies the elements that the taps of a pixel read to consecutive memory, pixel by pixel.
func (c *ConvFilterGrad[T]) join(dst, at []T, k tile) {
	s, row := &c.s, c.s.KW*c.channels
	for i := range k.images {
		for y := range k.rows {
			for x := range s.OW() {
				for kh := range s.KH {
					copy(dst[:row], at[((i*c.ih+y*s.StrideH+kh)*c.iw+x*s.StrideW)*c.channels:])
					dst = dst[row:]
				}
			}
		}
	}
}

// gradients writes one panel of channels of the tile's output gradient to dst in channels-last order.
func (c *ConvFilterGrad[T]) gradients(dst []T, k tile, panel int) {
	const width = microkernel.Panel
	pix, n := c.s.OH()*c.s.OW(), k.rows*c.s.OW()
	first := panel * width
	for i := range k.images {
		g := c.g[((k.first+i)*c.s.Cout+first)*pix+k.top*c.s.OW():]
		microkernel.Transpose(dst[i*n*width:], width, g, pix, min(width, c.s.Cout-first), n)
	}
}

// collect writes the total of the partial sums for output channel o to dw. It adds them in a fixed order.
func (c *ConvFilterGrad[T]) collect(_, o int) {
	s := &c.s
	dw := c.dw[o*s.Cin*s.KH*s.KW : (o+1)*s.Cin*s.KH*s.KW]
	row := s.KW * c.channels
	for part := range c.parts {
		for block := range c.blocks {
			n := min(c.channels, s.Cin-block*c.channels)
			to := dw[block*c.channels*s.KH*s.KW:]
			for kh := range s.KH {
				line, at := kh, 0
				if c.joined {
					line, at = 0, kh*row
				}
				sum := c.sums[0][part*c.part()+((block*c.lines+line)*s.Cout+o)*c.line+at:][:row]
				for kw := range s.KW {
					k := kh*s.KW + kw
					for _, v := range sum[kw*c.channels:][:n] {
						if part == 0 {
							to[k] = v
						} else {
							to[k] += v
						}
						k += s.KH * s.KW
					}
				}
			}
		}
	}
}
