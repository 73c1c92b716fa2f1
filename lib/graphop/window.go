package graphop

import (
	"fmt"

	"gorgonia.org/tensor"
)

// Window2D is a window of KH x KW elements that moves over the last two axes of [N,C,H,W] in steps of StrideH and
// StrideW, from PadH rows above and PadW columns left of the image to as many below and right.
type Window2D struct{ KH, KW, StrideH, StrideW, PadH, PadW int }

func (w Window2D) String() string {
	return fmt.Sprintf("%dx%d stride %d,%d pad %d,%d", w.KH, w.KW, w.StrideH, w.StrideW, w.PadH, w.PadW)
}

// results checks that w fits the images x and returns the shape [N,C,OH,OW] of one number a window.
func (w Window2D) results(op string, x *Node) tensor.Shape {
	s := x.Shape()
	if len(s) != 4 {
		fail(op, "expected [N,C,H,W]", x)
	}
	if w.KH < 1 || w.KW < 1 || w.StrideH < 1 || w.StrideW < 1 {
		fail(op, fmt.Sprintf("the window %v has a side or stride below 1", w), x)
	}
	if w.PadH < 0 || w.PadW < 0 || w.PadH >= w.KH || w.PadW >= w.KW {
		fail(op, fmt.Sprintf("the window %v: expected padding from 0 to less than the window, so that no window holds padding alone", w), x)
	}
	if s[2]+2*w.PadH < w.KH || s[3]+2*w.PadW < w.KW {
		fail(op, fmt.Sprintf("the window %v is larger than the padded image", w), x)
	}
	return tensor.Shape{s[0], s[1], (s[2]+2*w.PadH-w.KH)/w.StrideH + 1, (s[3]+2*w.PadW-w.KW)/w.StrideW + 1}
}

// WindowSumOp adds up each window.
type WindowSumOp struct{ Window Window2D }

// WindowSum returns the sum of each window of x [N,C,H,W], padding being 0: [N,C,OH,OW] with
// OH = (H+2·PadH-KH)/StrideH+1. Its adjoint is WindowSpreadOp.
func WindowSum(x *Node, w Window2D) *Node {
	return apply(&WindowSumOp{Window: w}, w.results("window sum", x), x)
}

// AvgPool2D returns the mean of each window of x [N,C,H,W]. Padding counts as zeros if countPadding is set, and not at
// all if not: then windows at the edge divide by fewer elements.
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

// within is how many of the k places from first on lie in [0, n).
func within(first, k, n int) int { return min(n, first+k) - max(0, first) }

// Name implements Kind.
func (s *WindowSumOp) Name() string { return fmt.Sprintf("windowsum(%v)", s.Window) }

// Diff implements Kind.
func (s *WindowSumOp) Diff(in []*Node, _, g *Node, _ []bool) []*Node {
	return []*Node{apply(&WindowSpreadOp{Window: s.Window}, in[0].Shape(), g)}
}

// WindowSpreadOp adds one number a window [N,C,OH,OW] to all elements of that window of an image of zeros [N,C,H,W],
// the operation's Out. It is the adjoint of WindowSumOp.
type WindowSpreadOp struct{ Window Window2D }

// Name implements Kind.
func (s *WindowSpreadOp) Name() string { return fmt.Sprintf("windowspread(%v)", s.Window) }

// Diff implements Kind.
func (s *WindowSpreadOp) Diff(_ []*Node, _, g *Node, _ []bool) []*Node {
	return []*Node{WindowSum(g, s.Window)}
}
