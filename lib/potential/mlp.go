package potential

import (
	"fmt"
	"math"

	"vapo/lib/graphop"
	"vapo/lib/layer"
	"vapo/lib/portable"
)

// MLP is the network for points and tables: linear layers with SiLU. The inputs of the first layer are x, t and Fourier
// features of t. Phi is the single output of the last layer, which has no SiLU. A label adds its row of the table
// label_emb to the first layer's output before the SiLU.
type MLP struct {
	Width   int `json:"width"`
	Depth   int `json:"depth"`   // hidden layers
	Fourier int `json:"fourier"` // frequencies pi·2^k of t, each as sine and cosine
}

func (m *MLP) check() error {
	if m.Width < 1 || m.Width > maxWidth || m.Depth < 1 || m.Depth > maxLayers || m.Fourier < 0 || m.Fourier > 16 {
		return fmt.Errorf("mlp of width %d, depth %d and %d frequencies: "+
			"expected a width of 1 to %d, a depth of 1 to %d and 0 to 16 frequencies",
			m.Width, m.Depth, m.Fourier, maxWidth, maxLayers)
	}
	return nil
}

// build returns the outputs, [N, out].
func (m *MLP) build(b *layer.Builder, x, t, label *graphop.Node, out int) *graphop.Node {
	in := []*graphop.Node{x, t}
	if m.Fourier > 0 {
		freq := make([]float64, m.Fourier)
		for k := range freq {
			freq[k] = math.Pi * portable.Exp2(float64(k))
		}
		angle := graphop.Mul(t, graphop.Table(t, freq, 1, m.Fourier))
		in = append(in, graphop.Sin(angle), graphop.Cos(angle))
	}
	var class *graphop.Node
	if label != nil {
		class = b.Embedding(labelName, label, m.Width)
	}
	h := graphop.Concat(1, in...)
	for k := range m.Depth {
		h = b.Linear(fmt.Sprintf("layers.%d", k), h, m.Width, false)
		if k == 0 && class != nil {
			h = graphop.Add(h, class)
		}
		h = graphop.SiLU(h)
	}
	return b.Linear("out", h, out, false)
}
