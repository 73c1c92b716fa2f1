package feature

import (
	"fmt"
	"slices"

	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/graphop"
	"vapo/lib/kernel"
	"vapo/lib/layer"
	"vapo/lib/picture"
)

// Image is one image, uint8 [C, H, W], with 1 or 3 channels.
type Image = picture.Image

// Images provides images by index. Image must be safe for concurrent use. The images may differ in size.
type Images interface {
	Len() int
	Image(i int) (Image, error)
}

// Of returns a data set as Images.
func Of(s *dataset.Images) Images { return setOf{s} }

type setOf struct{ set *dataset.Images }

func (s setOf) Len() int { return s.set.N }

func (s setOf) Image(i int) (Image, error) {
	return Image{C: s.set.C, H: s.set.H, W: s.set.W, Pixels: s.set.Image(i)}, nil
}

// Network computes feature vectors of images. It is not safe for concurrent use.
type Network struct {
	Name    string // architecture, layer and resize convention, as results record them
	Dim     int    // length of a feature vector
	Classes int    // number of logits after the features in each row; 0 without logits

	block   int // images per evaluation; fixed, so that results do not depend on how a set is divided
	prepare func(dst []float32, im Image) error
	exe     backend.Executable
	// Input and outputs of a block.
	x, features, logits []float32
}

// newNetwork compiles a graph and loads the weights of b's parameters by name. The input is x [block, …]; the outputs
// are features [block, Dim] and logits [block, Classes], which may be nil. prepare writes one image to its row of x.
func newNetwork(be backend.Backend, name string, b *layer.Builder, x, features, logits *graphop.Node,
	weights map[string][]float32, prepare func(dst []float32, im Image) error) (*Network, error) {
	n := &Network{
		Name: name, Dim: features.Shape()[1], block: x.Shape()[0], prepare: prepare,
		x: make([]float32, x.Shape().TotalSize()), features: make([]float32, features.Shape().TotalSize()),
	}
	g := backend.Graph{Inputs: []*graphop.Node{x}, Outputs: []*graphop.Node{features}}
	if logits != nil {
		n.Classes, n.logits = logits.Shape()[1], make([]float32, logits.Shape().TotalSize())
		g.Outputs = append(g.Outputs, logits)
	}
	for _, p := range b.Params {
		g.State = append(g.State, backend.State{In: p.Node})
	}
	var err error
	if n.exe, err = be.Compile(g); err != nil {
		return nil, err
	}
	for _, p := range b.Params {
		if err := n.exe.Load(checkpoint.Param+p.Name, backend.F32(weights[p.Name])); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// Check returns an error if the network does not accept images of the size of im.
func (n *Network) Check(im Image) error { return n.prepare(n.x[:len(n.x)/n.block], im) }

// Features computes the features and logits of images [from, to) into out [(to-from), Dim+Classes]. A row of out
// depends only on its image, to the bit. If several images cause errors, Features returns the error of the first one.
func (n *Network) Features(images Images, from, to int, out []float32) error {
	row, size := n.Dim+n.Classes, len(n.x)/n.block
	if len(out) != (to-from)*row {
		return fmt.Errorf("features of images %d to %d: out has length %d, expected %d", from, to, len(out), (to-from)*row)
	}
	in, results := []backend.Buffer{backend.F32(n.x)}, []backend.Buffer{backend.F32(n.features)}
	if n.Classes > 0 {
		results = append(results, backend.F32(n.logits))
	}
	// Image i is always in row i mod block.
	for base := from - from%n.block; base < to; base += n.block {
		lo, hi := max(base, from), min(base+n.block, to)
		clear(n.x)
		failed := make([]error, hi-lo)
		kernel.Parallel(hi-lo, func(_, piece int) {
			im, err := images.Image(lo + piece)
			if err == nil {
				if err = n.prepare(n.x[(lo-base+piece)*size:][:size], im); err != nil {
					err = fmt.Errorf("image %d: %w", lo+piece, err)
				}
			}
			failed[piece] = err
		})
		for _, err := range failed {
			if err != nil {
				return err
			}
		}
		if err := n.exe.Run(in, results); err != nil {
			return err
		}
		for i := lo; i < hi; i++ {
			dst := out[(i-from)*row:][:row]
			copy(dst[:n.Dim], n.features[(i-base)*n.Dim:])
			copy(dst[n.Dim:], n.logits[(i-base)*n.Classes:])
		}
	}
	return nil
}

// Accuracy returns the fraction of images whose largest logit is that of their label.
func (n *Network) Accuracy(images *dataset.Images) (float64, error) {
	if len(images.Labels) != images.N || images.N == 0 {
		return 0, fmt.Errorf("accuracy on %s: %d images have %d labels", images.Name, images.N, len(images.Labels))
	}
	row := n.Dim + n.Classes
	rows := make([]float32, images.N*row)
	if err := n.Features(Of(images), 0, images.N, rows); err != nil {
		return 0, err
	}
	correct := 0
	for i, label := range images.Labels {
		logits := rows[i*row+n.Dim : (i+1)*row]
		if slices.Index(logits, slices.Max(logits)) == int(label) {
			correct++
		}
	}
	return float64(correct) / float64(images.N), nil
}

// Options configure Inception. They have no effect on a classifier.
type Options struct {
	Tap    int
	Resize Resize
	// Logits also requests the logits, which need the whole network and its weights. With LogitsOptional, the logits are
	// omitted if the file does not hold all weights.
	Logits, LogitsOptional bool
}

// Open opens the feature network in a file, which is a classifier's checkpoint or Inception's weights (see
// OpenWeights). digest is the digest of the file. It identifies the network in results and in the keys of cached
// features.
func Open(be backend.Backend, path, digest string, o Options) (*Extractor, error) {
	src, ck, err := readWeights(path)
	var n *Network
	switch {
	case err != nil:
	case src != nil:
		n, err = openInception(be, src, o)
	case ck.Kind != checkpoint.Classifier:
		err = failure.New(failure.Input, openHint, "a checkpoint of kind %s, expected a %s", ck.Kind, checkpoint.Classifier)
	default:
		n, err = openClassifier(be, ck)
	}
	if err != nil {
		return nil, fmt.Errorf("feature network %s: %w", path, err)
	}
	return &Extractor{Network: n, Weights: digest, Backend: be.Class()}, nil
}

const openHint = "a feature network is a checkpoint that train --model classifier wrote, or Inception's weights"
