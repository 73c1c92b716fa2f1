package graphop

import (
	"fmt"

	"gorgonia.org/tensor"
)

// Window2D is a window of KH x KW elements that moves over the last two axes of [N,C,H,W] with strides StrideH and
// StrideW. The image is padded with PadH rows above and below and PadW columns left and right.
type Window2D struct{ KH, KW, StrideH, StrideW, PadH, PadW int }

func (w Window2D) String() string {
	return fmt.Sprintf("%dx%d stride %d,%d pad %d,%d", w.KH, w.KW, w.StrideH, w.StrideW, w.PadH, w.PadW)
}

// results checks that w fits the images x. It returns [N,C,OH,OW], the shape of a tensor with one value for each
// window, where OH = (H+2·PadH-KH)/StrideH+1 and OW = (W+2·PadW-KW)/StrideW+1.
func (w Window2D) results(op string, x *Node) tensor.Shape {
	s := x.Shape()
	if len(s) != 4 {
		fail(op, "expected [N,C,H,W]", x)
	}
	if w.KH < 1 || w.KW < 1 || w.StrideH < 1 || w.StrideW < 1 {
		fail(op, fmt.Sprintf("the window %v has a size or stride below 1", w), x)
	}
	if w.PadH < 0 || w.PadW < 0 || w.PadH >= w.KH || w.PadW >= w.KW {
		// Every window must contain an element of the image.
		fail(op, fmt.Sprintf("the window %v needs padding of at least 0 and less than its own size", w), x)
	}
	if s[2]+2*w.PadH < w.KH || s[3]+2*w.PadW < w.KW {
		fail(op, fmt.Sprintf("the window %v is larger than the padded image", w), x)
	}
	return tensor.Shape{s[0], s[1], (s[2]+2*w.PadH-w.KH)/w.StrideH + 1, (s[3]+2*w.PadW-w.KW)/w.StrideW + 1}
}

// WindowSumOp sums each window.
type WindowSumOp struct{ Window Window2D }

// WindowSum returns the sum of each window of x [N,C,H,W], with zeros as padding, as [N,C,OH,OW]; see Window2D. Its
// adjoint is WindowSumGradOp.
func WindowSum(x *Node, w Window2D) *Node {
	return apply(&WindowSumOp{Window: w}, w.results("window sum", x), x)
}

// AvgPool2D returns the mean of each window of x [N,C,H,W] as [N,C,OH,OW]. With countPadding, padding counts as zeros;
// without it, the mean is over the elements inside the image.
func AvgPool2D(x *Node, w Window2D, countPadding bool) *Node {
	sum := WindowSum(x, w)
	if countPadding || w.PadH == 0 && w.PadW == 0 {
		return Scale(sum, 1/float64(w.KH*w.KW))
	}
	in, out := x.Shape(), sum.Shape()
	share := make([]float64, 0, out[2]*out[3])
	for y := range out[2] {
		h := within(y*w.StrideH-w.PadH, w.KH, in[2])
		for x := range out[3] {
			share = append(share, 1/float64(h*within(x*w.StrideW-w.PadW, w.KW, in[3])))
		}
	}
	return Mul(sum, Table(x, share, 1, 1, out[2], out[3]))
}

// within returns how many of the k indices first, …, first+k-1 lie in [0, n).
func within(first, k, n int) int { return min(n, first+k) - max(0, first) }

// Diff implements Kind.
func (s *WindowSumOp) Diff(in []*Node, _, g *Node, _ []bool) []*Node {
	return []*Node{apply(&WindowSumGradOp{Window: s.Window}, in[0].Shape(), g)}
}

// WindowSumGradOp takes one value for each window, [N,C,OH,OW]. It starts from zeros of its output shape [N,C,H,W] and
// adds each value to all elements of the value's window. It is the adjoint of WindowSumOp.
type WindowSumGradOp struct{ Window Window2D }

// Diff implements Kind.
func (s *WindowSumGradOp) Diff(_ []*Node, _, g *Node, _ []bool) []*Node {
	return []*Node{WindowSum(g, s.Window)}
}
