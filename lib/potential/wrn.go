package potential

import (
	"fmt"

	"vapo/lib/graphop"
	"vapo/lib/layer"
)

// WRN is a wide residual network (Zagoruyko and Komodakis, arXiv 1605.07146) with the scalar output Phi. The method's
// first paper (arXiv 2407.15238) uses this kind of network but does not state its size. As is usual for energies, there
// is no normalisation. SiLU replaces ReLU, because the loss needs second derivatives.
//
// A label adds its row of the table label_emb to the time embedding. In a network without time, this row replaces the
// time embedding.
//
// Parameters: time_embed.{0,2}, label_emb, conv_in, blocks.i.{conv1,emb,conv2,shortcut}, out.
type WRN struct {
	Depth int  `json:"depth"` // 6n + 4, as the paper counts: each of three stages has n blocks of two convolutions
	Width int  `json:"width"` // the stages have 16, 32 and 64 times as many channels
	Time  bool `json:"time"`  // if false, the potential is the same at all times, as in an energy-based model
}

// wrnStages is the number of stages. Each stage after the first halves the image size.
const wrnStages = 3

func (w *WRN) check(shape []int) error {
	if len(shape) != 3 || shape[1]%4 != 0 || shape[2]%4 != 0 {
		return fmt.Errorf("wrn on samples of shape %v: expected images [C, H, W] with height and width divisible by 4", shape)
	}
	if w.Depth < 10 || w.Depth > maxLayers || (w.Depth-4)%6 != 0 {
		return fmt.Errorf("wrn of depth %d: expected 10, 16, 22, ... (6n + 4), at most %d", w.Depth, maxLayers)
	}
	if w.Width < 1 || w.Width > maxWidth/64 {
		return fmt.Errorf("wrn of width %d: expected 1 to %d", w.Width, maxWidth/64)
	}
	return nil
}

// phi builds the potential, [N, 1].
func (w *WRN) phi(b *layer.Builder, x, t, label *graphop.Node) *graphop.Node {
	var emb *graphop.Node
	e := 16 * w.Width
	if w.Time {
		emb = graphop.SiLU(b.Linear("time_embed.0", timestepEmbedding(t, e), 2*e, false))
		emb = b.Linear("time_embed.2", emb, 2*e, false)
	}
	if label != nil {
		class := b.Embedding(labelName, label, 2*e)
		if emb != nil {
			class = graphop.Add(emb, class)
		}
		emb = class
	}
	if emb != nil {
		emb = graphop.SiLU(emb)
	}
	h := b.Block(b.Conv("conv_in", x, 16, 3, false))
	n := (w.Depth - 4) / 6
	for stage := range wrnStages {
		if stage > 0 {
			h = graphop.AvgPool(h, 2)
		}
		for i := range n {
			h = w.block(b, fmt.Sprintf("blocks.%d", stage*n+i), h, emb, 16*w.Width<<stage)
		}
	}
	s := h.Shape()
	sum := graphop.Reshape(graphop.Sum(graphop.SiLU(h), 2, 3), s[0], s[1])
	return b.Linear("out", sum, 1, false)
}

// block is a residual block with activations before the convolutions. emb is nil for a network without time and labels.
func (w *WRN) block(b *layer.Builder, name string, x, emb *graphop.Node, out int) *graphop.Node {
	h := b.Conv(name+".conv1", graphop.SiLU(x), out, 3, false)
	if emb != nil {
		e := b.Linear(name+".emb", emb, out, false)
		h = graphop.Add(h, graphop.Reshape(e, e.Shape()[0], out, 1, 1))
	}
	h = b.Conv(name+".conv2", graphop.SiLU(h), out, 3, false)
	if x.Shape()[1] != out {
		x = b.Conv(name+".shortcut", x, out, 1, false)
	}
	return b.Block(graphop.Add(x, h))
}
