package graphop

import (
	"fmt"

	"gorgonia.org/tensor"
)

// AvgPoolOp averages K x K tiles of the last two axes.
type AvgPoolOp struct{ K int }

// AvgPool returns the means of the k x k tiles of x [N,C,H,W] as [N,C,H/k,W/k]; k must divide H and W. Its adjoint is
// Upsample / k².
func AvgPool(x *Node, k int) *Node {
	s := x.Shape()
	if len(s) != 4 || k < 1 || s[2]%k != 0 || s[3]%k != 0 {
		fail("avgpool", fmt.Sprintf("expected [N,C,H,W] with height and width divisible by %d", k), x)
	}
	return apply(&AvgPoolOp{K: k}, tensor.Shape{s[0], s[1], s[2] / k, s[3] / k}, x)
}

// Diff implements Kind.
func (p *AvgPoolOp) Diff(_ []*Node, _, g *Node, _ []bool) []*Node {
	return []*Node{Scale(Upsample(g, p.K), 1/float64(p.K*p.K))}
}

// UpsampleOp replaces every element by a K x K tile of copies along the last two axes.
type UpsampleOp struct{ K int }

// Upsample returns x [N,C,H,W] enlarged k times in height and width by nearest-neighbour interpolation, as [N,C,kH,kW].
// Its adjoint is AvgPool · k².
func Upsample(x *Node, k int) *Node {
	s := x.Shape()
	if len(s) != 4 || k < 1 {
		fail("upsample", "expected [N,C,H,W]", x)
	}
	return apply(&UpsampleOp{K: k}, tensor.Shape{s[0], s[1], s[2] * k, s[3] * k}, x)
}

// Diff implements Kind.
func (r *UpsampleOp) Diff(_ []*Node, _, g *Node, _ []bool) []*Node {
	return []*Node{Scale(AvgPool(g, r.K), float64(r.K*r.K))}
}
