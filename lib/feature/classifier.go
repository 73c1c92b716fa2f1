// Package feature turns images into the vectors in which sets of images are compared.
//
// A distance between sets means nothing without the network that made the features, so a network has a name and is
// opened from a file whose digest stands in every result. Here are Inception, in which the FID is defined, and the small
// classifier that a pipeline trains on its own data, for greyscale images that Inception was never made for.
package feature

import (
	"bytes"
	"encoding/json"
	"fmt"

	"vapo/lib/graphop"
	"vapo/lib/layer"
)

// Classifier is a small convolutional network: two 3x3 convolutions with SiLU, each halved by average pooling, a
// layer of Features units with SiLU, which are the features, and a linear layer to the classes.
type Classifier struct {
	Shape    []int `json:"shape"`    // [C, H, W] of one image
	Classes  int   `json:"classes"`  // number of classes
	Channels int   `json:"channels"` // of the first convolution; the second has twice as many
	Features int   `json:"features"` // dimensions of the feature vector
}

// ParseClassifier reads the JSON that a checkpoint carries, strictly.
func ParseClassifier(raw json.RawMessage) (Classifier, error) {
	var c Classifier
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return Classifier{}, fmt.Errorf("classifier configuration: %w", err)
	}
	return c, c.Check()
}

// Check returns an error that names the first thing that does not fit.
func (c Classifier) Check() error {
	if len(c.Shape) != 3 || c.Shape[0] < 1 || c.Shape[1] < 4 || c.Shape[2] < 4 || c.Shape[1]%4 != 0 || c.Shape[2]%4 != 0 {
		return fmt.Errorf("classifier configuration: image shape is %v, expected [C, H, W] with sides divisible by 4", c.Shape)
	}
	if c.Classes < 2 || c.Channels < 1 || c.Features < 2 {
		return fmt.Errorf("classifier configuration: %d classes, %d channels, %d features: expected at least 2, 1 and 2", c.Classes, c.Channels, c.Features)
	}
	return nil
}

// Build adds the network to the builder's graph for x [N, C, H, W] in [-1, 1]: features [N, Features] and logits
// [N, Classes].
func (c Classifier) Build(b *layer.Builder, x *graphop.Node) (features, logits *graphop.Node) {
	h := graphop.AvgPool(graphop.SiLU(b.Conv("conv1", x, c.Channels, 3, false)), 2)
	h = graphop.AvgPool(graphop.SiLU(b.Conv("conv2", h, 2*c.Channels, 3, false)), 2)
	s := h.Shape()
	features = graphop.SiLU(b.Linear("features", graphop.Reshape(h, s[0], s.TotalSize()/s[0]), c.Features, false))
	return features, b.Linear("classes", features, c.Classes, false)
}

// CrossEntropy is the mean over the batch of -log softmax(logits)[label], in nats: logits [N, K], labels one-hot [N, K].
func CrossEntropy(logits, labels *graphop.Node) *graphop.Node {
	n := logits.Shape()[0]
	shifted := graphop.Sub(logits, graphop.RowMax(logits))
	logsum := graphop.Log(graphop.Sum(graphop.Exp(shifted), 1))
	perSample := graphop.Sub(logsum, graphop.Sum(graphop.Mul(shifted, labels), 1))
	return graphop.Reshape(graphop.Scale(graphop.Sum(perSample), 1/float64(n)), 1)
}
