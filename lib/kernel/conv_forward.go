package kernel

import "vapo/lib/blas"

// Conv computes y = x * w (cross-correlation, as every deep-learning library calls convolution): a matrix product of
// the filters and the unfolded images (Chellapilla et al. 2006), tile by tile.
type Conv[T Float] struct {
	convTiles
	lib     blas.Library
	size    int // scratch memory of a tile
	bufs    [][]T
	y, x, w []T
	body    func(worker, piece int)
}

// NewConv prepares a convolution of shape s.
func NewConv[T Float](lib blas.Library, s ConvShape) *Conv[T] {
	c := &Conv[T]{convTiles: newConvTiles(s, true), lib: lib}
	c.size = s.patch() * c.ld
	if c.images > 1 {
		c.size += s.Cout * c.ld
	}
	scratchOf[T]().reserve(c.size)
	c.bufs = make([][]T, min(Workers(), c.count))
	c.body = c.piece
	return c
}

// Run computes y [N, Cout, OH, OW] from x [N, Cin, H, W] and w [Cout, Cin, KH, KW].
func (c *Conv[T]) Run(y, x, w []T) {
	c.y, c.x, c.w = y, x, w
	scratchOf[T]().take(c.bufs, c.size)
	Parallel(c.count, c.body)
	scratchOf[T]().give(c.bufs)
	c.y, c.x, c.w = nil, nil, nil
}

func (c *Conv[T]) piece(worker, piece int) {
	s, k := c.s, c.tile(piece)
	col, ld := columns(&c.convTiles, k, c.bufs[worker], c.x, 0, s.Cin)
	pix := s.OH() * s.OW()
	out, to := c.y[k.first*s.Cout*pix+k.at:], pix
	if k.images > 1 {
		out, to = c.bufs[worker][s.patch()*c.ld:], c.ld
	}
	blas.Gemm(c.lib, false, false, s.Cout, k.columns, s.patch(), 1, c.w, s.patch(), col, ld, 0, out, to)
	if k.images > 1 {
		for i := range k.images {
			for ch := range s.Cout {
				copy(c.y[((k.first+i)*s.Cout+ch)*pix:][:pix], out[ch*to+i*pix:])
			}
		}
	}
}
