package device

import (
	"github.com/gomlx/compute"
	"vapo/lib/graphop"
)

// convolution lowers a convolution, or one of its two gradients, to the builder's general convolution. The gradients
// are convolutions too (Dumoulin and Visin, arXiv 1603.07285): the input gradient slides the mirrored filter over the
// dilated output gradient; the filter gradient slides the dilated output gradient over the image, with batch and
// channels exchanged. XLA recognises these forms and maps them to a library's backward convolutions.
func (l *lowering) convolution(c *graphop.ConvOp, a, b compute.Value) compute.Value {
	s := c.Shape
	axes := compute.ConvolveAxesConfig{
		InputBatch: 0, InputChannels: 1, InputSpatial: []int{2, 3},
		KernelInputChannels: 1, KernelOutputChannels: 0, KernelSpatial: []int{2, 3},
		OutputBatch: 0, OutputChannels: 1, OutputSpatial: []int{2, 3},
	}
	one, stride := []int{1, 1}, []int{s.StrideH, s.StrideW}
	switch c.Role {
	case graphop.Forward: // a = x [N,Cin,H,W], b = w [Cout,Cin,KH,KW]
		return must(l.ConvGeneral(a, b, axes, stride, [][2]int{{s.PadH, s.PadH}, {s.PadW, s.PadW}}, one, one, 1, 1))
	case graphop.InputGrad: // a = g [N,Cout,OH,OW], b = w
		axes.KernelInputChannels, axes.KernelOutputChannels = 0, 1
		h := windowFit(s.OH(), s.StrideH, s.KH, 1, s.KH-1-s.PadH, s.H)
		w := windowFit(s.OW(), s.StrideW, s.KW, 1, s.KW-1-s.PadW, s.W)
		v := must(l.ConvGeneral(a, must(l.Reverse(b, 2, 3)), axes, one, [][2]int{h.pad, w.pad}, stride, one, 1, 1))
		return l.crop(v, s.N, s.Cin, h, w)
	default: // the filter gradient; a = x, b = g
		axes.InputBatch, axes.InputChannels = 1, 0
		axes.KernelInputChannels, axes.KernelOutputChannels = 0, 1
		axes.OutputBatch, axes.OutputChannels = 1, 0
		h := windowFit(s.H, 1, s.OH(), s.StrideH, s.PadH, s.KH)
		w := windowFit(s.W, 1, s.OW(), s.StrideW, s.PadW, s.KW)
		v := must(l.ConvGeneral(a, b, axes, one, [][2]int{h.pad, w.pad}, one, stride, 1, 1))
		return l.crop(v, s.Cout, s.Cin, h, w)
	}
}

// fit describes the padding and cropping along one axis of a convolution. The input gets pad[0] elements of padding
// before it and pad[1] after it. Of the result, which has size elements, the elements [from, to) are kept. Cropping the
// result is necessary because the builder's convolution cannot crop its input.
type fit struct {
	pad      [2]int
	from, to int
	size     int
}

// windowFit returns the fit for an axis of n elements and a filter of kernel elements, both dilated, such that the
// result keeps want elements. The padding before the axis has low elements; a negative low crops the axis instead.
func windowFit(n, dilation, kernel, kernelDilation, low, want int) fit {
	axis, window := (n-1)*dilation+1, (kernel-1)*kernelDilation+1
	high := want + window - 1 - axis - low
	f := fit{pad: [2]int{max(low, 0), max(high, 0)}}
	f.size = axis + f.pad[0] + f.pad[1] - window + 1
	f.from = f.pad[0] - low
	f.to = f.from + want
	return f
}

// crop returns the part of v [c0, c1, h.size, w.size] that the fits h and w keep.
func (l *lowering) crop(v compute.Value, c0, c1 int, h, w fit) compute.Value {
	if h.from == 0 && h.to == h.size && w.from == 0 && w.to == w.size {
		return v
	}
	return must(l.Slice(v, []int{0, 0, h.from, w.from}, []int{c0, c1, h.to, w.to}, []int{1, 1, 1, 1}))
}
