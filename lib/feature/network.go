package feature

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/dataset"
	"vapo/lib/graphop"
	"vapo/lib/layer"
	"vapo/lib/optim"
	"vapo/lib/torchfile"
)

// Network turns images into feature vectors. It is used by one goroutine at a time.
type Network interface {
	// Name identifies the architecture and the layer, for people.
	Name() string
	// Dim is the length of a feature vector.
	Dim() int
	// Features computes the features of images [from, to) into out [(to-from), Dim], row-major. A row depends on its
	// image alone, to the bit.
	Features(images *dataset.Images, from, to int, out []float64) error
}

// block is the fixed number of images of one evaluation, so that results do not depend on how a set is cut up.
const block = 64

// Options say how Inception is used; other networks have one way.
type Options struct {
	Tap    int
	Resize Resize
}

// Open reads a feature network from a file: a classifier's checkpoint, or Inception's weights in a PyTorch file.
func Open(be backend.Backend, path string, o Options) (Network, error) {
	if torchfile.IsFile(path) {
		n, err := OpenInception(be, path, o.Tap, o.Resize)
		if err != nil {
			return nil, fmt.Errorf("weights %s: %w", path, err)
		}
		return n, nil
	}
	ck, err := checkpoint.Read(path)
	if err != nil {
		return nil, err
	}
	if ck.Kind != checkpoint.Classifier {
		return nil, fmt.Errorf("checkpoint %s holds a %s, expected a %s", path, ck.Kind, checkpoint.Classifier)
	}
	c, err := ParseClassifier(ck.Config)
	if err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", path, err)
	}
	n, err := newClassifierNetwork(be, c, func(shapes map[string][]int) (map[string][]float32, error) {
		return ck.Weights(optim.EMA, shapes)
	})
	if err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", path, err)
	}
	return n, nil
}

// ClassifierNetwork is a trained Classifier.
type ClassifierNetwork struct {
	Config   Classifier
	exe      backend.Executable
	x        []float32
	features []float32
	logits   []float32
}

// NewClassifier compiles a classifier with the given weights, by parameter name without a group prefix.
func NewClassifier(be backend.Backend, c Classifier, weights map[string][]float32) (*ClassifierNetwork, error) {
	return newClassifierNetwork(be, c, func(map[string][]int) (map[string][]float32, error) { return weights, nil })
}

func newClassifierNetwork(be backend.Backend, c Classifier, read func(map[string][]int) (map[string][]float32, error)) (*ClassifierNetwork, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	b := &layer.Builder{Graph: gorgonia.NewGraph(), Dtype: tensor.Float32}
	var x, features, logits *graphop.Node
	err := graphop.Build(func() {
		x = graphop.Input(b.Graph, b.Dtype, "x", append([]int{block}, c.Shape...)...)
		features, logits = c.Build(b, x)
	})
	if err != nil {
		return nil, err
	}
	g := backend.Graph{Inputs: []*graphop.Node{x}, Outputs: []*graphop.Node{features, logits}}
	shapes := map[string][]int{}
	for _, p := range b.Params {
		g.State = append(g.State, backend.State{In: p.Node})
		shapes[p.Name] = p.Shape
	}
	weights, err := read(shapes)
	if err != nil {
		return nil, err
	}
	exe, err := be.Compile(g)
	if err != nil {
		return nil, err
	}
	for _, p := range b.Params {
		if err := exe.Load(optim.Param+p.Name, backend.F32(weights[p.Name])); err != nil {
			return nil, err
		}
	}
	size := c.Shape[0] * c.Shape[1] * c.Shape[2]
	return &ClassifierNetwork{
		Config: c, exe: exe, x: make([]float32, block*size),
		features: make([]float32, block*c.Features), logits: make([]float32, block*c.Classes),
	}, nil
}

// Name implements Network.
func (n *ClassifierNetwork) Name() string {
	return fmt.Sprintf("classifier-%dx%dx%d-features%d", n.Config.Shape[0], n.Config.Shape[1], n.Config.Shape[2], n.Config.Features)
}

// Dim implements Network.
func (n *ClassifierNetwork) Dim() int { return n.Config.Features }

// Features implements Network.
func (n *ClassifierNetwork) Features(images *dataset.Images, from, to int, out []float64) error {
	if len(out) != (to-from)*n.Config.Features {
		return fmt.Errorf("features of images %d to %d: got room for %d numbers, expected %d", from, to, len(out), (to-from)*n.Config.Features)
	}
	return n.each(images, from, to, func(i, row int) {
		for k, v := range n.features[row*n.Config.Features : (row+1)*n.Config.Features] {
			out[(i-from)*n.Config.Features+k] = float64(v)
		}
	})
}

// Accuracy is the share of the images whose largest logit is their label.
func (n *ClassifierNetwork) Accuracy(images *dataset.Images) (float64, error) {
	if len(images.Labels) != images.N || images.N == 0 {
		return 0, fmt.Errorf("accuracy on %s: %d images have %d labels", images.Name, images.N, len(images.Labels))
	}
	right := 0
	err := n.each(images, 0, images.N, func(i, row int) {
		best := 0
		l := n.logits[row*n.Config.Classes : (row+1)*n.Config.Classes]
		for k, v := range l {
			if v > l[best] {
				best = k
			}
		}
		if int64(best) == images.Labels[i] {
			right++
		}
	})
	return float64(right) / float64(images.N), err
}

// each evaluates images [from, to) in blocks and calls f with every image and its row in the block.
func (n *ClassifierNetwork) each(images *dataset.Images, from, to int, f func(i, row int)) error {
	if got := []int{images.C, images.H, images.W}; got[0] != n.Config.Shape[0] || got[1] != n.Config.Shape[1] || got[2] != n.Config.Shape[2] {
		return fmt.Errorf("images of %s have shape %v, expected %v as the classifier was trained on", images.Name, got, n.Config.Shape)
	}
	size := images.C * images.H * images.W
	in := []backend.Buffer{backend.F32(n.x)}
	out := []backend.Buffer{backend.F32(n.features), backend.F32(n.logits)}
	// Image i always stands in row i mod block.
	for base := from - from%block; base < to; base += block {
		lo, hi := max(base, from), min(base+block, to)
		clear(n.x)
		Scale(n.x[(lo-base)*size:(hi-base)*size], images.Pixels[lo*size:hi*size])
		if err := n.exe.Run(in, out); err != nil {
			return err
		}
		for i := lo; i < hi; i++ {
			f(i, i-base)
		}
	}
	return nil
}

// Scale maps pixels 0..255 to [-1, 1].
func Scale(dst []float32, pixels []uint8) {
	for i, p := range pixels {
		dst[i] = float32(p)/127.5 - 1
	}
}
