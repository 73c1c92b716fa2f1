package graphop

import (
	"fmt"

	"gorgonia.org/tensor"
	"vapo/lib/blas"
	"vapo/lib/kernel"
)

// ConvRole names one of the three convolutions. Each is linear in both of its inputs, and the derivatives of
// each are the other two, so the trio is closed under differentiation.
type ConvRole int

// The trio, for x [N,Cin,H,W], w [Cout,Cin,KH,KW] and y, g [N,Cout,OH,OW].
const (
	Forward    ConvRole = iota // (x, w) -> y
	InputGrad                  // (g, w) -> dx
	FilterGrad                 // (x, g) -> dw
)

// Convolution is one of the trio at a given shape.
type Convolution struct {
	Role  ConvRole
	Shape kernel.ConvShape
}

// Conv2D returns the cross-correlation of x [N,Cin,H,W] with w [Cout,Cin,KH,KW], with zero padding on both
// sides: [N,Cout,OH,OW].
func Conv2D(x, w *Node, stride, padH, padW int) *Node {
	return Conv2DStrided(x, w, stride, stride, padH, padW)
}

// Conv2DStrided is Conv2D with a stride of its own for each axis: OH = (H+2·padH-KH)/strideH+1, OW likewise.
func Conv2DStrided(x, w *Node, strideH, strideW, padH, padW int) *Node {
	s, t := x.Shape(), w.Shape()
	if len(s) != 4 || len(t) != 4 || s[1] != t[1] {
		fail("conv2d", "expected x [N,C,H,W] and w [O,C,KH,KW]", x, w)
	}
	if strideH < 1 || strideW < 1 || padH < 0 || padW < 0 {
		fail("conv2d", fmt.Sprintf("strides %d,%d and padding %d,%d: expected strides of 1 or more and padding of 0 or more", strideH, strideW, padH, padW), x, w)
	}
	shape := kernel.ConvShape{
		N: s[0], Cin: s[1], H: s[2], W: s[3], Cout: t[0], KH: t[2], KW: t[3],
		StrideH: strideH, StrideW: strideW, PadH: padH, PadW: padW,
	}
	if shape.H+2*padH < shape.KH || shape.W+2*padW < shape.KW {
		fail("conv2d", "the filter is larger than the padded image", x, w)
	}
	return convolution(Forward, shape, x, w)
}

func convolution(role ConvRole, s kernel.ConvShape, a, b *Node) *Node {
	var out tensor.Shape
	switch role {
	case Forward:
		out = tensor.Shape{s.N, s.Cout, s.OH(), s.OW()}
	case InputGrad:
		out = tensor.Shape{s.N, s.Cin, s.H, s.W}
	case FilterGrad:
		out = tensor.Shape{s.Cout, s.Cin, s.KH, s.KW}
	}
	return apply(&Convolution{Role: role, Shape: s}, out, a, b)
}

// Name implements Kind.
func (c *Convolution) Name() string {
	return fmt.Sprintf("conv%s%v", [...]string{"", "-input-grad", "-filter-grad"}[c.Role], c.Shape)
}

// Diff implements Kind.
func (c *Convolution) Diff(in []*Node, _, g *Node, needed []bool) []*Node {
	a, b := in[0], in[1]
	out := make([]*Node, 2)
	set := func(i int, role ConvRole, p, q *Node) {
		if needed[i] {
			out[i] = convolution(role, c.Shape, p, q)
		}
	}
	switch c.Role {
	case Forward: // a = x, b = w, g ~ y
		set(0, InputGrad, g, b)
		set(1, FilterGrad, a, g)
	case InputGrad: // a = gy, b = w, g ~ x
		set(0, Forward, g, b)
		set(1, FilterGrad, g, a)
	case FilterGrad: // a = x, b = gy, g ~ w
		set(0, InputGrad, b, g)
		set(1, Forward, a, g)
	}
	return out
}

// Lower implements Kind.
func (c *Convolution) Lower(op *Operation, _ blas.Library) Kernels {
	return lower32and64(op,
		func() func([]float32, [][]float32) { return lowerConv[float32](c) },
		func() func([]float64, [][]float64) { return lowerConv[float64](c) })
}

func lowerConv[T kernel.Float](c *Convolution) func([]T, [][]T) {
	switch c.Role {
	case Forward:
		k := kernel.NewConv[T](c.Shape)
		return func(dst []T, src [][]T) { k.Run(dst, src[0], src[1]) }
	case InputGrad:
		k := kernel.NewConvInputGrad[T](c.Shape)
		return func(dst []T, src [][]T) { k.Run(dst, src[0], src[1]) }
	default:
		k := kernel.NewConvFilterGrad[T](c.Shape)
		return func(dst []T, src [][]T) { k.Run(dst, src[0], src[1]) }
	}
}
