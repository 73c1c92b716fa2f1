package graphop

// SoftmaxOp divides e^x by the sum of e^x along the last axis.
type SoftmaxOp struct{}

// Softmax returns e^x / sum e^x along the last axis of x, which has rank 2 or more. The largest element is subtracted
// first, so finite rows give finite results that sum to 1; a row with +Inf or NaN becomes NaN.
func Softmax(x *Node) *Node {
	if s := x.Shape(); len(s) < 2 {
		fail("softmax", "expected rank 2 or more (reshape a vector to [1, n])", x)
	}
	return apply(&SoftmaxOp{}, x.Shape(), x)
}

// Diff implements Kind: the gradient is y·(g - sum(g·y)), with the sum along the last axis.
func (*SoftmaxOp) Diff(in []*Node, y, g *Node, _ []bool) []*Node {
	return []*Node{Mul(y, Sub(g, Sum(Mul(g, y), in[0].Dims()-1)))}
}
