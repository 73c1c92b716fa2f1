package kernel

import "vapo/lib/blas"

// ConvFilterGrad computes the adjoint of Conv in w: dw = sum over images of the unfolded x times g transposed. Work is
// cut by input channels, each of which has filters of its own, and the batch only where channels are too few.
type ConvFilterGrad[T Float] struct {
	convTiles
	lib      blas.Library
	channels int // a block
	blocks   int
	parts    int // partial sums over runs of tiles
	perPart  int // tiles
	size     int // scratch memory of a piece
	bufs     [][]T
	sums     [][]T // one buffer: [parts, Cin·KH·KW, Cout]
	dw, x, g []T
	body     func(worker, piece int)
	finish   func(worker, piece int)
}

// blockPatch is the number of filter elements of an output channel that a block aims at.
const blockPatch = 144

// NewConvFilterGrad prepares the filter gradient of a convolution of shape s.
func NewConvFilterGrad[T Float](lib blas.Library, s ConvShape) *ConvFilterGrad[T] {
	c := &ConvFilterGrad[T]{convTiles: newConvTiles(s, true), lib: lib}
	c.channels = min(s.Cin, max(1, blockPatch/(s.KH*s.KW)))
	c.blocks = (s.Cin + c.channels - 1) / c.channels
	c.parts = min(c.count, (leastTiles+c.blocks-1)/c.blocks)
	c.perPart = (c.count + c.parts - 1) / c.parts
	c.parts = (c.count + c.perPart - 1) / c.perPart
	c.size = (c.channels*s.KH*s.KW + s.Cout) * c.ld
	scratchOf[T]().reserve(max(c.size, c.parts*s.patch()*s.Cout))
	c.bufs = make([][]T, min(Workers(), c.blocks*c.parts))
	c.sums = make([][]T, 1)
	c.body, c.finish = c.piece, c.transpose
	return c
}

// Run computes dw [Cout, Cin, KH, KW] from x [N, Cin, H, W] and g [N, Cout, OH, OW].
func (c *ConvFilterGrad[T]) Run(dw, x, g []T) {
	c.dw, c.x, c.g = dw, x, g
	scratchOf[T]().take(c.bufs, c.size)
	scratchOf[T]().take(c.sums, c.parts*c.s.patch()*c.s.Cout)
	Parallel(c.blocks*c.parts, c.body)
	Parallel((c.s.Cout+transposeRows-1)/transposeRows, c.finish)
	scratchOf[T]().give(c.bufs)
	scratchOf[T]().give(c.sums)
	c.dw, c.x, c.g = nil, nil, nil
}

func (c *ConvFilterGrad[T]) piece(worker, piece int) {
	s, buf := c.s, c.bufs[worker]
	block, part := piece%c.blocks, piece/c.blocks
	c0 := block * c.channels
	c1 := min(c0+c.channels, s.Cin)
	rows := (c1 - c0) * s.KH * s.KW
	sum := c.sums[0][(part*s.patch()+c0*s.KH*s.KW)*s.Cout:]
	var beta T
	for i := part * c.perPart; i < min((part+1)*c.perPart, c.count); i++ {
		k := c.tile(i)
		g, ldg := gathered(&c.convTiles, k, buf[c.channels*s.KH*s.KW*c.ld:], c.g, s.Cout)
		col, ld := columns(&c.convTiles, k, buf, c.x, c0, c1)
		blas.Gemm(c.lib, false, true, rows, s.Cout, k.columns, 1, col, ld, g, ldg, beta, sum, s.Cout)
		beta = 1
	}
}

// transposeRows is the number of output channels of one piece of transpose: a cache line of float32.
const transposeRows = 16

// transpose adds up the parts and writes them the other way round.
func (c *ConvFilterGrad[T]) transpose(_, piece int) {
	n, cout := c.s.patch(), c.s.Cout
	from := piece * transposeRows
	to := min(from+transposeRows, cout)
	for p := range n {
		row := c.sums[0][p*cout : (p+1)*cout]
		for part := 1; part < c.parts; part++ {
			add(row[from:to], row[from:to], c.sums[0][(part*n+p)*cout+from:][:to-from])
		}
		for o := from; o < to; o++ {
			c.dw[o*n+p] = row[o]
		}
	}
}
