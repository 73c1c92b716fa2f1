package feature

import (
	"vapo/lib/graphop"
	"vapo/lib/layer"
)

// resizeGraph resizes images in the graph, by the same convention as resizers on the host. A resize is two matrix
// products, one for each axis. A device gets 12 kB instead of 1 MB for an image of 32x32 pixels, and the products take
// at most a thirtieth of the network's arithmetic.
//
// Note: the CPU engine resizes on the host, with sums in float64. Sums in float32, as in the graph, would change the
// bits of features, and a dense product of large images takes longer than a few taps for each pixel.
type resizeGraph struct {
	how     Resize
	c, h, w int // shape of an image
	side    int // height and width of the result
}

// Names of the parameters that hold the matrices.
const (
	resizeRows = "resize.rows"
	resizeCols = "resize.columns"
)

// fits reports whether an image is smaller than the network's input.
func (r *resizeGraph) fits() bool { return max(r.h, r.w) <= r.side && r.h*r.w < r.side*r.side }

// centre is subtracted from grey levels before they are resized. The differences are exact in every precision, even if
// an engine rounds factors to bfloat16.
func (r *resizeGraph) centre() float32 {
	if r.how == PyTorchFID {
		return 127.5
	}
	return 128
}

// write writes an image, less centre, to a row of the input [n, c, h, w].
func (r *resizeGraph) write(row []float32, im Image) error {
	if err := checkInceptionImage(im); err != nil {
		return err
	}
	if im.C != r.c || im.H != r.h || im.W != r.w {
		return errOtherSize
	}
	centre := r.centre()
	for i, v := range im.Pixels {
		row[i] = float32(v) - centre
	}
	return nil
}

// build returns the network's input [n, 3, side, side], in [-1, 1], for x [n, c, h, w].
func (r *resizeGraph) build(b *layer.Builder, x *graphop.Node) *graphop.Node {
	planes := x.Shape()[0] * r.c
	// Only the last axis can be multiplied by a matrix, so each axis in turn becomes the last one.
	x = graphop.Transpose(graphop.Reshape(x, planes, r.h, r.w), 0, 2, 1)
	rows, cols := b.Param(resizeRows, layer.Init{}, r.h, r.side), b.Param(resizeCols, layer.Init{}, r.w, r.side)
	x = graphop.MatMul(graphop.Reshape(x, planes*r.w, r.h), rows, false, false)
	x = graphop.Transpose(graphop.Reshape(x, planes, r.w, r.side), 0, 2, 1)
	x = graphop.MatMul(graphop.Reshape(x, planes*r.side, r.w), cols, false, false)
	x = graphop.Reshape(x, planes/r.c, r.c, r.side, r.side)
	switch r.how {
	case PyTorchFID:
		x = graphop.Scale(x, 2./255)
	case Clean: // bicubic interpolation overshoots
		x = graphop.Min(graphop.Max(x, graphop.Fill(x, -128, 1, 1, 1, 1)), graphop.Fill(x, 127, 1, 1, 1, 1))
		fallthrough
	default:
		x = graphop.Scale(x, 1./128)
	}
	return graphop.Broadcast(x, planes/r.c, 3, r.side, r.side)
}

// matrices returns the values of the parameters that build adds.
func (r *resizeGraph) matrices() map[string][]float32 {
	matrix := func(in int) []float32 {
		m := make([]float32, in*r.side)
		for out, t := range r.how.axisTaps(in, r.side) {
			for k, w := range t.Weights {
				m[(t.First+k)*r.side+out] = float32(w)
			}
		}
		return m
	}
	return map[string][]float32{resizeRows: matrix(r.h), resizeCols: matrix(r.w)}
}
