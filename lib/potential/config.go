// Package potential holds the networks Phi(x, t): one scalar for a sample x at a condition t, whose gradient in x is
// the velocity of the flow. A Config describes a network and is stored in every checkpoint; Field evaluates one.
package potential

import (
	"bytes"
	"encoding/json"
	"fmt"

	"vapo/lib/graphop"
	"vapo/lib/homotopy"
	"vapo/lib/layer"
)

// Config describes a network and the path it was trained for: all that is needed to sample from its weights.
type Config struct {
	Kind     string  `json:"kind"`      // "mlp", "wrn" or "unet"
	Shape    []int   `json:"shape"`     // of one sample: [D], or [C, H, W]
	Schedule string  `json:"schedule"`  // see homotopy.Lookup
	PriorStd float64 `json:"prior_std"` // w of the prior N(0, w² I)
	// Classes is the number of labels that the network is told apart from x and t; 0: it knows none. A network that knows
	// some serves without them too, where no label is told.
	Classes int   `json:"classes,omitempty"`
	MLP     *MLP  `json:"mlp,omitempty"`
	UNet    *UNet `json:"unet,omitempty"`
	WRN     *WRN  `json:"wrn,omitempty"`
}

// ParseConfig reads the JSON that a checkpoint carries, strictly.
func ParseConfig(raw json.RawMessage) (Config, error) {
	var c Config
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return Config{}, fmt.Errorf("network configuration: %w", err)
	}
	return c, c.Check()
}

// Bounds far above what can be trained: a checkpoint comes from anywhere, and a graph is built from its numbers alone.
const (
	maxDim    = 1 << 26 // numbers of one sample
	maxWidth  = 1 << 16 // units or channels
	maxLayers = 1000
	// MaxClasses bounds labels: a thousand are usual, and a table of them is multiplied by one-hot rows.
	MaxClasses = 10000
)

// labelName is guided diffusion's for the table of labels, and labelTable its tensor.
const (
	labelName  = "label_emb"
	labelTable = labelName + ".weight"
)

// Check returns an error that names the first thing that does not fit.
func (c Config) Check() error {
	dim := 1
	for _, d := range c.Shape {
		if d < 1 || d > maxDim/dim {
			return fmt.Errorf("network configuration: sample shape is %v, expected positive dimensions and at most %d numbers", c.Shape, maxDim)
		}
		dim *= d
	}
	if _, err := homotopy.Lookup(c.Schedule, c.PriorStd); err != nil {
		return fmt.Errorf("network configuration: %w", err)
	}
	if c.Classes < 0 || c.Classes == 1 || c.Classes > MaxClasses {
		return fmt.Errorf("network configuration: %d classes, expected none (0) or 2 to %d", c.Classes, MaxClasses)
	}
	switch {
	case c.Kind == "mlp" && c.MLP != nil && len(c.Shape) == 1:
		return c.MLP.check()
	case c.Kind == "unet" && c.UNet != nil:
		return c.UNet.check(c.Shape)
	case c.Kind == "wrn" && c.WRN != nil:
		return c.WRN.check(c.Shape)
	case c.Kind == "mlp" && c.MLP != nil:
		return fmt.Errorf("network configuration: mlp on samples of shape %v, expected points [D]", c.Shape)
	}
	return fmt.Errorf("network configuration: kind is %q with no section of that name, expected mlp, wrn or unet", c.Kind)
}

// Dim is the number of dimensions of one sample.
func (c Config) Dim() int {
	n := 1
	for _, d := range c.Shape {
		n *= d
	}
	return n
}

// Drops reports whether training the network drops elements at random, which needs the builder's Key.
func (c Config) Drops() bool { return c.Kind == "unet" && c.UNet.Dropout > 0 }

// Path returns the schedule that the network was trained for.
func (c Config) Path() (homotopy.Schedule, error) { return homotopy.Lookup(c.Schedule, c.PriorStd) }

// Build adds Phi to the builder's graph: x is [N, Shape...], t [N, 1] is the schedule's condition, label [N, Classes] is
// one-hot, or all 0 where the label is not told (nil without classes); the result is [N, 1]. Training with labels that
// are dropped at random gives both fields that guidance combines (Ho and Salimans, arXiv 2207.12598).
// It panics with *graphop.Error where shapes do not fit (see graphop.Build).
func (c Config) Build(b *layer.Builder, x, t, label *graphop.Node) *graphop.Node {
	switch c.Kind {
	case "mlp":
		return c.MLP.phi(b, x, t, label)
	case "wrn":
		return c.WRN.phi(b, x, t, label)
	}
	return c.UNet.phi(b, x, t, label)
}

// batchShape is the shape of n samples.
func (c Config) batchShape(n int) []int { return append([]int{n}, c.Shape...) }
