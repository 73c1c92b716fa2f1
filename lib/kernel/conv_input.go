package kernel

import "vapo/lib/blas"

// ConvInputGrad computes the adjoint of Conv in x: every output gradient spread back over its patch.
type ConvInputGrad[T Float] struct {
	convTiles
	lib     blas.Library
	flipped *Conv[T] // the same thing as a convolution with turned filters, where the stride is 1
	size    int      // scratch memory of a tile, or of the turned filters
	bufs    [][]T
	dx      []T
	g, w    []T
	body    func(worker, piece int)
}

// NewConvInputGrad prepares the input gradient of a convolution of shape s.
func NewConvInputGrad[T Float](lib blas.Library, s ConvShape) *ConvInputGrad[T] {
	c := &ConvInputGrad[T]{convTiles: newConvTiles(s, false), lib: lib}
	if s.StrideH == 1 && s.StrideW == 1 && s.PadH < s.KH && s.PadW < s.KW {
		c.flipped = NewConv[T](lib, ConvShape{
			N: s.N, Cin: s.Cout, H: s.OH(), W: s.OW(), Cout: s.Cin, KH: s.KH, KW: s.KW,
			StrideH: 1, StrideW: 1, PadH: s.KH - 1 - s.PadH, PadW: s.KW - 1 - s.PadW,
		})
		c.size = s.Cout * s.patch()
		c.bufs = make([][]T, 1)
		c.body = c.turn
	} else {
		c.size = (s.patch() + s.Cout) * c.ld
		c.bufs = make([][]T, min(Workers(), c.count))
		c.body = c.piece
	}
	scratchOf[T]().reserve(c.size)
	return c
}

// Run computes dx [N, Cin, H, W] from g [N, Cout, OH, OW] and w [Cout, Cin, KH, KW].
func (c *ConvInputGrad[T]) Run(dx, g, w []T) {
	c.dx, c.g, c.w = dx, g, w
	scratchOf[T]().take(c.bufs, c.size)
	if c.flipped != nil {
		Parallel(c.s.Cin, c.body)
		c.flipped.Run(dx, g, c.bufs[0])
	} else {
		Parallel(c.count, c.body)
	}
	scratchOf[T]().give(c.bufs)
	c.dx, c.g, c.w = nil, nil, nil
}

// turn writes the filters of one input channel, w [Cout, Cin, KH, KW], to a row of [Cin, Cout, KH, KW], each rotated
// by half a turn.
func (c *ConvInputGrad[T]) turn(_, i int) {
	s := c.s
	k := s.KH * s.KW
	to := c.bufs[0][i*s.Cout*k:]
	for o := range s.Cout {
		for j, v := range c.w[(o*s.Cin+i)*k:][:k] {
			to[o*k+k-1-j] = v
		}
	}
}

func (c *ConvInputGrad[T]) piece(worker, piece int) {
	s, k, buf := c.s, c.tile(piece), c.bufs[worker]
	g, ldg := gathered(&c.convTiles, k, buf[s.patch()*c.ld:], c.g, s.Cout)
	blas.Gemm(c.lib, true, false, s.patch(), k.columns, s.Cout, 1, c.w, s.patch(), g, ldg, 0, buf, c.ld)
	size := s.Cin * s.H * s.W
	for i := range k.images {
		dx := c.dx[(k.first+i)*size : (k.first+i+1)*size]
		clear(dx)
		fold(dx, buf[i*s.OH()*s.OW():], c.ld, s)
	}
}
