package kernel

import "vapo/lib/microkernel"

// Conv computes y = x * w: cross-correlation, which deep-learning libraries call convolution.
//
// Run(y, x, w) computes y [N, Cout, OH, OW] from x [N, Cin, H, W] and w [Cout, Cin, KH, KW].
type Conv[T Float] struct{ *correlation[T] }

// NewConv prepares a convolution of shape s.
func NewConv[T Float](s ConvShape) *Conv[T] {
	c := &Conv[T]{newCorrelation[T](s.N, s.Cin, s.Cout,
		axis{in: s.H, out: s.OH(), taps: s.KH, stride: s.StrideH, pad: s.PadH, zeros: 1},
		axis{in: s.W, out: s.OW(), taps: s.KW, stride: s.StrideW, pad: s.PadW, zeros: 1})}
	c.pack = c.packFilters
	return c
}

// packFilters transposes the filters of one panel of output channels. The filters of an output channel are a row of w.
func (c *Conv[T]) packFilters(_, panel int) {
	const width = microkernel.Panel
	first, n := panel*width, c.in*c.taps()
	microkernel.Transpose(c.filters[0][panel*c.panel():], width, c.w[first*n:], n, min(width, c.out-first), n)
}
