package kernel

import "vapo/lib/microkernel"

// ConvInputGrad computes the gradient with respect to the input x: the convolution of the output gradient with the
// filters rotated by 180 degrees. If the stride is not 1, zeros are inserted between the elements of the output
// gradient.
//
// Run(dx, g, w) computes dx [N, Cin, H, W] from g [N, Cout, OH, OW] and w [Cout, Cin, KH, KW].
type ConvInputGrad[T Float] struct{ *correlation[T] }

// NewConvInputGrad prepares the input gradient of a convolution of shape s.
func NewConvInputGrad[T Float](s ConvShape) *ConvInputGrad[T] {
	c := &ConvInputGrad[T]{newCorrelation[T](s.N, s.Cout, s.Cin,
		axis{in: s.OH(), out: s.H, taps: s.KH, stride: 1, pad: s.KH - 1 - s.PadH, zeros: s.StrideH},
		axis{in: s.OW(), out: s.W, taps: s.KW, stride: 1, pad: s.KW - 1 - s.PadW, zeros: s.StrideW})}
	c.pack = c.packFilters
	return c
}

// packFilters transposes the filters of one panel of input channels: one output channel after the other, with the taps
// of each in reverse order.
func (c *ConvInputGrad[T]) packFilters(_, panel int) {
	const width = microkernel.Panel
	taps, first := c.taps(), panel*width
	rows := min(width, c.out-first)
	to := c.filters[0][panel*c.panel():]
	for o := range c.in { // the adjoint's input channels are the convolution's output channels
		microkernel.TransposeBackwards(to[o*taps*width:], width, c.w[(o*c.out+first)*taps:], taps, rows, taps)
	}
}
