package feature

import (
	"fmt"
	"slices"

	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/picture"
	"vapo/lib/tensorfile"
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
	Block   int    // images per evaluation; fixed, so that results do not depend on how a set is divided

	check    func(im Image) error
	programs *programs
}

// blockOn returns the number of images per evaluation on an engine with the given promises. onCPU is the number that is
// fastest on a CPU. Other engines are devices with many more processors; see sampling.Block.
func blockOn(p backend.Promises, onCPU int) int {
	if p.Rows {
		return onCPU
	}
	return PartSize
}

// Check returns an error if the network does not accept images of the size of im.
func (n *Network) Check(im Image) error { return n.check(im) }

// Features computes the features and logits of images [from, to) into out [(to-from), Dim+Classes]. On an engine that
// promises backend.Promises.Rows, a row of out depends only on its image, to the bit. If several images cause errors,
// Features returns the error of the first one.
func (n *Network) Features(images Images, from, to int, out []float32) error {
	row := n.Dim + n.Classes
	if len(out) != (to-from)*row {
		return fmt.Errorf("features of images %d to %d: out has length %d, expected %d", from, to, len(out), (to-from)*row)
	}
	features, logits := make([]float32, n.Block*n.Dim), make([]float32, n.Block*n.Classes)
	results := []backend.Buffer{backend.F32(features)}
	if n.Classes > 0 {
		results = append(results, backend.F32(logits))
	}
	// Image i is always in row i mod Block.
	for base := from - from%n.Block; base < to; base += n.Block {
		lo, hi := max(base, from), min(base+n.Block, to)
		p, err := n.programs.fill(images, base, lo, hi)
		if err != nil {
			return err
		}
		if err := p.exe.Run([]backend.Buffer{backend.F32(p.x)}, results); err != nil {
			return err
		}
		for i := lo; i < hi; i++ {
			dst := out[(i-from)*row:][:row]
			copy(dst[:n.Dim], features[(i-base)*n.Dim:])
			copy(dst[n.Dim:], logits[(i-base)*n.Classes:])
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
	n, err := open(be, path, o)
	if err != nil {
		return nil, fmt.Errorf("feature network %s: %w", path, err)
	}
	return &Extractor{Network: n, Weights: digest, Backend: be.Class()}, nil
}

func open(be backend.Backend, path string, o Options) (*Network, error) {
	if !tensorfile.IsFile(path) {
		src, err := openWeights(path, "a PyTorch file, a safetensors file or a checkpoint")
		if err != nil {
			return nil, err
		}
		return openInception(be, src, o)
	}
	ck, err := checkpoint.Read(path)
	switch {
	case err != nil:
		return nil, failure.Default(failure.Input, openHint, err)
	case ck.Kind != checkpoint.Classifier:
		return nil, failure.New(failure.Input, openHint, "a checkpoint of kind %s, expected a %s", ck.Kind,
			checkpoint.Classifier)
	}
	return openClassifier(be, ck)
}

const openHint = "a feature network is a checkpoint that train --model classifier wrote, or Inception's weights"
