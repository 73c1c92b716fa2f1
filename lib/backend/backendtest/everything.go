package backendtest

import (
	"math"

	"vapo/lib/graphop"
)

// everything builds a potential that contains the operations that the other potentials lack: convolutions whose strides
// and filters differ by axis, attention, means of overlapping windows with padding, and maxima.
func everything(p *parameters, x, t *graphop.Node) *graphop.Node {
	s := x.Shape()
	n := s[0]
	conv := func(name string, x *graphop.Node, out, kh, kw, strideH, strideW int) *graphop.Node {
		w := p.param(name+".weight", out, x.Shape()[1], kh, kw)
		y := graphop.ConvStrided(x, w, strideH, strideW, kh/2, kw/2)
		return graphop.Add(y, graphop.Reshape(p.param(name+".bias", out), 1, out, 1, 1))
	}
	h := conv("wide", conv("high", x, 4, 7, 1, 1, 1), 4, 1, 7, 1, 1)
	h = graphop.SiLU(graphop.Add(h, graphop.Reshape(t, n, 1, 1, 1)))
	h = graphop.Dropout(h, drawKey(x), "everything", 0.3)

	pixels := s[2] * s[3]
	qkv := conv("qkv", h, 12, 1, 1, 1, 1)
	part := func(k int) *graphop.Node { return graphop.Reshape(graphop.Slice(qkv, 1, 4*k, 4*k+4), n, 4, pixels) }
	weights := graphop.Softmax(graphop.Scale(graphop.MatMul(part(0), part(1), true, false), 1/math.Sqrt(4)))
	h = graphop.Add(h, graphop.Reshape(graphop.MatMul(part(2), weights, false, true), n, 4, s[2], s[3]))

	mean := graphop.AvgPool2D(h, graphop.Window2D{KH: 3, KW: 3, StrideH: 1, StrideW: 1, PadH: 1, PadW: 1}, false)
	half := graphop.AvgPool2D(mean, graphop.Window2D{KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadH: 1, PadW: 1}, true)
	top := graphop.MaxPool2D(h, graphop.Window2D{KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadH: 1, PadW: 1})
	h = graphop.SiLU(graphop.Concat(1, half, top))
	h = conv("down", h, 6, 5, 5, 2, 1)
	return graphop.Reshape(graphop.Sum(graphop.Mul(h, h), 1, 2, 3), n, 1)
}
