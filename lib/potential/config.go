// Package potential holds the networks Phi(x, t), which map a sample x and a condition t to a scalar. The gradient of
// Phi with respect to x is the velocity of the flow. The same networks can model the velocity directly, for comparison.
// Package homotopy describes the mathematics, and package training builds the training step. A Config describes a
// network and is stored in every checkpoint; a Field evaluates a network.
package potential

import (
	"bytes"
	"encoding/json"
	"fmt"

	"gorgonia.org/tensor"

	"vapo/lib/failure"
	"vapo/lib/graphop"
	"vapo/lib/homotopy"
	"vapo/lib/layer"
)

// Config describes a network and the path that it was trained for. With the weights, this is all that sampling needs.
type Config struct {
	Kind     string  `json:"kind"`      // "mlp", "wrn" or "unet"
	Shape    []int   `json:"shape"`     // of one sample: [D], or [C, H, W]
	Schedule string  `json:"schedule"`  // see homotopy.Lookup
	PriorStd float64 `json:"prior_std"` // w of the prior N(0, w² I)
	// Output names what the network models. Without this field, it models the potential.
	Output homotopy.Output `json:"output,omitempty"`
	// Classes is the number of classes if the network has a label as an optional third input, or 0 if it has none.
	Classes int   `json:"classes,omitempty"`
	MLP     *MLP  `json:"mlp,omitempty"`
	UNet    *UNet `json:"unet,omitempty"`
	WRN     *WRN  `json:"wrn,omitempty"`
}

// ParseConfig reads the JSON in a checkpoint. It rejects unknown fields.
func ParseConfig(raw json.RawMessage) (Config, error) {
	var c Config
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return Config{}, failure.New(failure.Input, "", "network configuration: %w", err)
	}
	if err := c.Check(); err != nil {
		return c, failure.New(failure.Input, "", "%w", err)
	}
	return c, nil
}

// Bounds far above any network that can be trained. They are necessary because checkpoints are untrusted and graphs are
// built from their values.
const (
	maxDim    = 1 << 26 // values of one sample
	maxWidth  = 1 << 16 // units or channels
	maxLayers = 1000
	// MaxClasses bounds the number of classes, because one-hot rows are multiplied by a table of all classes. A
	// thousand classes are common.
	MaxClasses = 10000
)

// labelName is guided diffusion's name for the embedding of the labels, and labelTable is the name of its tensor.
const (
	labelName  = "label_emb"
	labelTable = labelName + ".weight"
)

// Check returns an error that names the first invalid value.
func (c Config) Check() error {
	dim := 1
	for _, d := range c.Shape {
		if d < 1 || d > maxDim/dim {
			return fmt.Errorf("network configuration: sample shape is %v, expected positive dimensions and at most %d values",
				c.Shape, maxDim)
		}
		dim *= d
	}
	if _, err := homotopy.Lookup(c.Schedule, c.PriorStd); err != nil {
		return fmt.Errorf("network configuration: %w", err)
	}
	if err := homotopy.CheckOutput(c.Output, c.Schedule); err != nil {
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
	case c.Kind == "wrn" && c.WRN != nil && c.Output != homotopy.Potential:
		return fmt.Errorf("network configuration: a wrn has a single output, so it cannot model the %s: "+
			"expected mlp or unet", c.Output)
	case c.Kind == "wrn" && c.WRN != nil:
		return c.WRN.check(c.Shape)
	case c.Kind == "mlp" && c.MLP != nil:
		return fmt.Errorf("network configuration: mlp on samples of shape %v, expected points [D]", c.Shape)
	}
	return fmt.Errorf("network configuration: kind is %q with no section of that name, expected mlp, wrn or unet", c.Kind)
}

// Dim is the number of dimensions of one sample.
func (c Config) Dim() int { return tensor.Shape(c.Shape).TotalSize() }

// Drops reports whether the network is trained with dropout, which needs the builder's Key.
func (c Config) Drops() bool { return c.Kind == "unet" && c.UNet.Dropout > 0 }

// Path returns the schedule that the network was trained for.
func (c Config) Path() (homotopy.Schedule, error) { return homotopy.Lookup(c.Schedule, c.PriorStd) }

// Evaluate adds the network to the builder's graph. x is [N, Shape...], and t [N, 1] is the schedule's condition. label
// [N, Classes] is one-hot, with a row of zeros for a sample without a label; it is nil for a network without classes.
// Training with randomly dropped labels gives both fields that guidance combines (Ho and Salimans, arXiv 2207.12598).
//
// psi [N, 1] is the potential, and u, in the shape of x, is its gradient with respect to x. For a network without a
// potential, psi is nil and u is the network's output. Evaluate returns a *graphop.Error if shapes do not fit.
func (c Config) Evaluate(b *layer.Builder, x, t, label *graphop.Node) (psi, u *graphop.Node, err error) {
	return c.evaluate(b, x, t, label, 1)
}

// evaluate is Evaluate with guidance; see NewGuidedField.
func (c Config) evaluate(
	b *layer.Builder, x, t, label *graphop.Node, guidance float64,
) (psi, u *graphop.Node, err error) {
	var output *graphop.Node
	if err := graphop.Build(func() { output = c.guided(b, x, t, label, guidance) }); err != nil {
		return nil, nil, err
	}
	if c.Output != homotopy.Potential {
		return nil, output, nil
	}
	grads, err := graphop.Grad(output, x)
	if err != nil {
		return nil, nil, err
	}
	return output, grads[0], nil
}

// build returns the network's output: Psi as [N, 1], or a velocity or noise in the shape of x.
func (c Config) build(b *layer.Builder, x, t, label *graphop.Node) *graphop.Node {
	switch {
	case c.Kind == "mlp" && c.Output == homotopy.Potential:
		return c.MLP.build(b, x, t, label, 1)
	case c.Kind == "mlp":
		return c.MLP.build(b, x, t, label, c.Dim())
	case c.Kind == "wrn":
		return c.WRN.phi(b, x, t, label)
	case c.Output == homotopy.Potential:
		return c.UNet.phi(b, x, t, label)
	}
	return c.UNet.field(b, x, t, label)
}

// HasPotential returns an error that names the purpose if the network models no potential.
func (c Config) HasPotential(purpose string) error {
	if c.Output == homotopy.Potential {
		return nil
	}
	return failure.New(failure.Input, "give a checkpoint trained with the objective matching, energy or hybrid",
		"%s needs a potential, but this network models the %s", purpose, c.Output)
}

func (c Config) batchShape(n int) []int { return append([]int{n}, c.Shape...) }
