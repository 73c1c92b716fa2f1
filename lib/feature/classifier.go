// Package feature computes feature vectors of images, and the moments of these vectors, by which sets of images are
// compared.
//
// A distance between sets of images depends on the network that computes the features. So each network has a name, and
// the digest of its file is part of every result. There are two networks: Inception, for which the FID is defined, and
// a small classifier. A pipeline trains the classifier on its own data, for images unlike those that Inception was
// trained on.
package feature

import (
	"bytes"
	"encoding/json"
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/graphop"
	"vapo/lib/layer"
)

// Classifier configures a small convolutional network. It has two 3x3 convolutions with SiLU, each followed by 2x2
// average pooling; a linear layer of Features units with SiLU, whose outputs are the features; and a linear layer to
// the classes.
type Classifier struct {
	Shape    []int `json:"shape"`    // [C, H, W] of one image
	Classes  int   `json:"classes"`  // number of classes
	Channels int   `json:"channels"` // output channels of the first convolution; the second has twice as many
	Features int   `json:"features"` // dimension of the feature vector
}

// ParseClassifier reads a Classifier from the JSON in a checkpoint and validates it. Unknown fields are an error.
func ParseClassifier(raw json.RawMessage) (Classifier, error) {
	var c Classifier
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return Classifier{}, fmt.Errorf("classifier configuration: %w", err)
	}
	return c, c.Check()
}

// Check validates the configuration.
func (c Classifier) Check() error {
	if s := c.Shape; len(s) != 3 || s[0] < 1 || s[1] < 4 || s[2] < 4 || s[1]%4 != 0 || s[2]%4 != 0 {
		return fmt.Errorf("classifier configuration: image shape is %v, expected [C, H, W] with sides divisible by 4", s)
	}
	if c.Classes < 2 || c.Channels < 1 || c.Features < 2 {
		return fmt.Errorf("classifier configuration: %d classes, %d channels, %d features: expected at least 2, 1 and 2",
			c.Classes, c.Channels, c.Features)
	}
	return nil
}

// Build adds the network to the graph of b and returns the outputs: features [N, Features] and logits [N, Classes]. The
// input x is [N, C, H, W] in [-1, 1].
func (c Classifier) Build(b *layer.Builder, x *graphop.Node) (features, logits *graphop.Node) {
	h := graphop.AvgPool(graphop.SiLU(b.Conv("conv1", x, c.Channels, 3, false)), 2)
	h = graphop.AvgPool(graphop.SiLU(b.Conv("conv2", h, 2*c.Channels, 3, false)), 2)
	s := h.Shape()
	features = graphop.SiLU(b.Linear("features", graphop.Reshape(h, s[0], s.TotalSize()/s[0]), c.Features, false))
	return features, b.Linear("classes", features, c.Classes, false)
}

// CrossEntropy returns the mean over the batch of -log softmax(logits)[label], in nats. logits is [N, K]; labels is
// one-hot [N, K].
func CrossEntropy(logits, labels *graphop.Node) *graphop.Node {
	n := logits.Shape()[0]
	shifted := graphop.Sub(logits, graphop.RowMax(logits))
	logsum := graphop.Log(graphop.Sum(graphop.Exp(shifted), 1))
	perSample := graphop.Sub(logsum, graphop.Sum(graphop.Mul(shifted, labels), 1))
	return graphop.Reshape(graphop.Scale(graphop.Sum(perSample), 1/float64(n)), 1)
}

// classifierBlock is the number of images per evaluation on a CPU.
const classifierBlock = 64

// NewClassifier compiles a classifier with the given weights. The keys of weights are parameter names without a group
// prefix.
func NewClassifier(be backend.Backend, c Classifier, weights map[string][]float32) (*Network, error) {
	return newClassifier(be, c, func(map[string][]int) (map[string][]float32, error) { return weights, nil })
}

func openClassifier(be backend.Backend, ck *checkpoint.Checkpoint) (*Network, error) {
	c, err := ParseClassifier(ck.Config)
	if err != nil {
		return nil, failure.Default(failure.Input, openHint, err)
	}
	return newClassifier(be, c, func(shapes map[string][]int) (map[string][]float32, error) {
		weights, err := ck.Weights(checkpoint.EMA, shapes)
		return weights, failure.Default(failure.Input, openHint, err)
	})
}

func newClassifier(be backend.Backend, c Classifier, read func(shapes map[string][]int) (map[string][]float32, error),
) (*Network, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	b := &layer.Builder{Graph: gorgonia.NewGraph(), Dtype: tensor.Float32}
	block := blockOn(be.Promises(), classifierBlock)
	var x, features, logits *graphop.Node
	err := graphop.Build(func() {
		x = graphop.Input(b.Graph, b.Dtype, "x", append([]int{block}, c.Shape...)...)
		features, logits = c.Build(b, x)
	})
	if err != nil {
		return nil, err
	}
	shapes := map[string][]int{}
	for _, p := range b.Params {
		shapes[p.Name] = p.Shape
	}
	weights, err := read(shapes)
	if err != nil {
		return nil, err
	}
	exe, err := compileGraph(be, b, x, features, logits, weights)
	if err != nil {
		return nil, err
	}
	p := &compiled{rows: block, size: x.Shape().TotalSize() / block, exe: exe, write: c.write}
	return &Network{
		Name: fmt.Sprintf("classifier-%dx%dx%d-features%d", c.Shape[0], c.Shape[1], c.Shape[2], c.Features),
		Dim:  c.Features, Classes: c.Classes, Block: block, check: c.checkImage, programs: &programs{whole: p},
	}, nil
}

// write scales an image to [-1, 1] and writes it to a row of the input.
func (c Classifier) write(row []float32, im Image) error {
	if err := c.checkImage(im); err != nil {
		return err
	}
	dataset.Normalize(row, im.Pixels)
	return nil
}

func (c Classifier) checkImage(im Image) error {
	if got := [3]int{im.C, im.H, im.W}; got != [3]int(c.Shape) || len(im.Pixels) != im.C*im.H*im.W {
		return failure.New(failure.Input, "give a network that was trained on images of this size",
			"its shape is %v, expected %v as in the classifier's training data", got, c.Shape)
	}
	return nil
}
