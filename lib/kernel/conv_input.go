package kernel

import "vapo/lib/microkernel"

// ConvInputGrad computes the adjoint of Conv in x: a convolution of the output gradient, with zeros between its elements
// where the stride is not 1, with the filters turned by half a turn.
type ConvInputGrad[T Float] struct {
	*correlation[T]
	w    []T
	pack func(worker, panel int)
}

// NewConvInputGrad prepares the input gradient of a convolution of shape s.
func NewConvInputGrad[T Float](s ConvShape) *ConvInputGrad[T] {
	c := &ConvInputGrad[T]{correlation: newCorrelation[T](s.N, s.Cout, s.Cin,
		axis{in: s.OH(), out: s.H, taps: s.KH, stride: 1, pad: s.KH - 1 - s.PadH, zeros: s.StrideH},
		axis{in: s.OW(), out: s.W, taps: s.KW, stride: 1, pad: s.KW - 1 - s.PadW, zeros: s.StrideW})}
	c.pack = c.packFilters
	return c
}

// Run computes dx [N, Cin, H, W] from g [N, Cout, OH, OW] and w [Cout, Cin, KH, KW].
func (c *ConvInputGrad[T]) Run(dx, g, w []T) {
	c.w = w
	c.run(dx, g, c.pack)
	c.w = nil
}

// packFilters turns the taps of a panel of input channels, for each output channel in turn, into columns in the
// opposite order.
func (c *ConvInputGrad[T]) packFilters(_, panel int) {
	taps, first := c.taps(), panel*microkernel.Panel
	rows := min(microkernel.Panel, c.out-first)
	to := c.filters[0][panel*c.panel():]
	for o := range c.in { // the input of the adjoint is what the convolution put out
		microkernel.TransposeBackwards(to[o*taps*microkernel.Panel:], microkernel.Panel, c.w[(o*c.out+first)*taps:], taps, rows, taps)
	}
}
