package graphop

import (
	"fmt"

	"gorgonia.org/tensor"

	"vapo/lib/kernel"
)

// ConvRole selects one of three convolutions: the convolution itself, its gradient with respect to the image, or its
// gradient with respect to the filter. Each is linear in each of its two inputs, and its derivatives are the other two.
type ConvRole int

// The three convolutions, for x [N,Cin,H,W], w [Cout,Cin,KH,KW] and y, g [N,Cout,OH,OW].
const (
	Forward    ConvRole = iota // (x, w) -> y
	InputGrad                  // (g, w) -> dx
	FilterGrad                 // (x, g) -> dw
)

// ConvOp is one of the three convolutions at a given shape.
type ConvOp struct {
	Role  ConvRole
	Shape kernel.ConvShape
}

// Conv returns the cross-correlation of x [N,Cin,H,W] with w [Cout,Cin,KH,KW], with padH rows and padW columns of zeros
// on each side. The result is [N,Cout,OH,OW]; see kernel.ConvShape.
func Conv(x, w *Node, stride, padH, padW int) *Node {
	return ConvStrided(x, w, stride, stride, padH, padW)
}

// ConvStrided is Conv with a stride for each axis.
func ConvStrided(x, w *Node, strideH, strideW, padH, padW int) *Node {
	s, t := x.Shape(), w.Shape()
	if len(s) != 4 || len(t) != 4 || s[1] != t[1] {
		fail("conv", "expected x [N,C,H,W] and w [O,C,KH,KW]", x, w)
	}
	if strideH < 1 || strideW < 1 || padH < 0 || padW < 0 {
		fail("conv", fmt.Sprintf("expected strides of 1 or more and padding of 0 or more, got %d,%d and %d,%d",
			strideH, strideW, padH, padW), x, w)
	}
	shape := kernel.ConvShape{
		N: s[0], Cin: s[1], H: s[2], W: s[3], Cout: t[0], KH: t[2], KW: t[3],
		StrideH: strideH, StrideW: strideW, PadH: padH, PadW: padW,
	}
	if shape.H+2*padH < shape.KH || shape.W+2*padW < shape.KW {
		fail("conv", "the filter is larger than the padded image", x, w)
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
	return apply(&ConvOp{Role: role, Shape: s}, out, a, b)
}

// Diff implements Kind.
func (c *ConvOp) Diff(in []*Node, _, g *Node, needed []bool) []*Node {
	a, b := in[0], in[1]
	out := make([]*Node, 2)
	set := func(i int, role ConvRole, p, q *Node) {
		if needed[i] {
			out[i] = convolution(role, c.Shape, p, q)
		}
	}
	switch c.Role {
	case Forward: // a = x, b = w, g has the shape of y
		set(0, InputGrad, g, b)
		set(1, FilterGrad, a, g)
	case InputGrad: // a = gradient with respect to y, b = w, g has the shape of x
		set(0, Forward, g, b)
		set(1, FilterGrad, g, a)
	case FilterGrad: // a = x, b = gradient with respect to y, g has the shape of w
		set(0, InputGrad, b, g)
		set(1, Forward, a, g)
	}
	return out
}
