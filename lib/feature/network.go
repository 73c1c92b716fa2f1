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
)

// Network turns images into feature vectors. It is used by one goroutine at a time.
type Network interface {
	// Name identifies the architecture and the layer, for people.
	Name() string
	// Dim is the length of a feature vector.
	Dim() int
	// Classes is how many logits follow the features in a row; 0 if none do.
	Classes() int
	// Block is how many images are evaluated together: ranges that begin and end at its multiples waste nothing.
	Block() int
	// Features computes the features and logits of images [from, to) into out [(to-from), Dim+Classes], row-major. A row
	// depends on its image alone, to the bit. Of several errors that images give the first image's is returned.
	Features(images Images, from, to int, out []float32) error
}

// Image is one image, uint8 [C, H, W], of one channel or three.
type Image struct {
	C, H, W int
	Pixels  []uint8
}

// Images gives images by index. Image is called from several goroutines at once; images need not be of one size.
type Images interface {
	Len() int
	Image(i int) (Image, error)
}

// Of is a data set as Images.
func Of(s *dataset.Images) Images { return setOf{s} }

type setOf struct{ set *dataset.Images }

func (s setOf) Len() int { return s.set.N }

func (s setOf) Image(i int) (Image, error) {
	return Image{s.set.C, s.set.H, s.set.W, s.set.Image(i)}, nil
}

// room returns an error where out is not of the size of the rows of images [from, to).
func room(n Network, from, to int, out []float32) error {
	if row := n.Dim() + n.Classes(); len(out) != (to-from)*row {
		return fmt.Errorf("features of images %d to %d: got room for %d numbers, expected %d", from, to, len(out), (to-from)*row)
	}
	return nil
}

// block is the fixed number of images of one evaluation, so that results do not depend on how a set is cut up.
const block = 64

// Options say how Inception is used; other networks have one way.
type Options struct {
	Tap    int
	Resize Resize
	Logits bool // the logits too, which takes the whole network and its weights
}

// Open reads a feature network from a file: a classifier's checkpoint, or Inception's weights, see OpenWeights.
func Open(be backend.Backend, path string, o Options) (Network, error) {
	src, ck, err := readWeights(path)
	if err != nil {
		return nil, fmt.Errorf("weights %s: %w", path, err)
	}
	if src != nil {
		n, err := NewInception(be, src, o)
		if err != nil {
			return nil, fmt.Errorf("weights %s: %w", path, err)
		}
		return n, nil
	}
	if ck.Kind != checkpoint.Classifier {
		return nil, fmt.Errorf("checkpoint %s holds a %s, expected a %s", path, ck.Kind, checkpoint.Classifier)
	}
	c, err := ParseClassifier(ck.Config)
	if err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", path, err)
	}
	n, err := newClassifierNetwork(be, c, func(shapes map[string][]int) (map[string][]float32, error) {
		return ck.Weights(checkpoint.EMA, shapes)
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
		if err := exe.Load(checkpoint.Param+p.Name, backend.F32(weights[p.Name])); err != nil {
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

// Classes implements Network.
func (n *ClassifierNetwork) Classes() int { return n.Config.Classes }

// Block implements Network.
func (n *ClassifierNetwork) Block() int { return block }

// Features implements Network.
func (n *ClassifierNetwork) Features(images Images, from, to int, out []float32) error {
	if err := room(n, from, to, out); err != nil {
		return err
	}
	f, c := n.Config.Features, n.Config.Classes
	return n.each(images, from, to, func(i, row int) {
		dst := out[(i-from)*(f+c):]
		copy(dst[:f], n.features[row*f:])
		copy(dst[f:f+c], n.logits[row*c:])
	})
}

// Accuracy is the share of the images whose largest logit is their label.
func (n *ClassifierNetwork) Accuracy(images *dataset.Images) (float64, error) {
	if len(images.Labels) != images.N || images.N == 0 {
		return 0, fmt.Errorf("accuracy on %s: %d images have %d labels", images.Name, images.N, len(images.Labels))
	}
	right := 0
	err := n.each(Of(images), 0, images.N, func(i, row int) {
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
func (n *ClassifierNetwork) each(images Images, from, to int, f func(i, row int)) error {
	shape := [3]int(n.Config.Shape)
	size := shape[0] * shape[1] * shape[2]
	in := []backend.Buffer{backend.F32(n.x)}
	out := []backend.Buffer{backend.F32(n.features), backend.F32(n.logits)}
	// Image i always stands in row i mod block.
	for base := from - from%block; base < to; base += block {
		lo, hi := max(base, from), min(base+block, to)
		clear(n.x)
		for i := lo; i < hi; i++ {
			im, err := images.Image(i)
			if err != nil {
				return err
			}
			if got := [3]int{im.C, im.H, im.W}; got != shape || len(im.Pixels) != size {
				return fmt.Errorf("image %d has shape %v, expected %v as the classifier was trained on", i, got, shape)
			}
			Scale(n.x[(i-base)*size:(i-base+1)*size], im.Pixels)
		}
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
