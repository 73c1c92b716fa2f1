package graphop

// RowMaxOp takes the largest element of each row of a matrix.
type RowMaxOp struct{}

// RowMax returns the largest element of each row of x [M,N] as [M,1]. Its derivative is defined as 0. Use it only for
// shifts that cancel in the result, as in softmax: there the true derivative would cancel too.
func RowMax(x *Node) *Node {
	s := x.Shape()
	if len(s) != 2 {
		fail("rowmax", "expected a matrix", x)
	}
	s[1] = 1
	return apply(&RowMaxOp{}, s, x)
}

// Diff implements Kind.
func (*RowMaxOp) Diff([]*Node, *Node, *Node, []bool) []*Node { return nil }
