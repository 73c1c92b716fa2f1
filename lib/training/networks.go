package training

import (
	"encoding/json"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/feature"
	"vapo/lib/graphop"
	"vapo/lib/homotopy"
	"vapo/lib/layer"
	"vapo/lib/optim"
	"vapo/lib/potential"
)

// Indices of Step.Batch for a potential; the columns of homotopy.Fill follow.
const (
	BatchX     = 0 // data [N, D]
	BatchNoise = 1 // standard normal [N, D]
	BatchTimes = 2
	BatchLabel = BatchTimes + homotopy.Columns // one-hot [N, Classes], all 0 where the label is dropped
)

// Potential compiles a step that trains a potential on batches of the given size, the micro-batches where a step has
// several: o.BatchImages is that of them all. Step.Batch is data, noise and the columns of homotopy.Fill; for a network
// that knows classes the labels follow.
func Potential(be backend.Backend, c potential.Config, objective string, o optim.Config, batch int) (*Step, error) {
	b, inputs, terms, err := potentialLoss(c, objective, batch, true)
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	s := &Step{Kind: checkpoint.Potential, Config: config, optim: o}
	return s, s.compile(be, b, inputs, terms.Loss, terms.GradNorm, terms.Losses, terms.Squares, terms.Values)
}

// potentialLoss builds the graph of an objective; inputs are the batch's. Only where training is set is anything dropped.
func potentialLoss(c potential.Config, objective string, batch int, training bool) (b *layer.Builder, inputs []*graphop.Node, terms homotopy.Terms, err error) {
	if err := c.Check(); err != nil {
		return nil, nil, terms, err
	}
	if err := homotopy.Check(objective, c.Schedule); err != nil {
		return nil, nil, terms, err
	}
	b = &layer.Builder{Graph: gorgonia.NewGraph(), Dtype: tensor.Float32}
	shape := append([]int{batch}, c.Shape...)
	var in homotopy.Batch
	var label *graphop.Node
	err = graphop.Build(func() {
		input := func(name string, shape ...int) *graphop.Node {
			n := graphop.Input(b.Graph, b.Dtype, "batch/"+name, shape...)
			inputs = append(inputs, n)
			return n
		}
		in.X, in.Noise = input("x", shape...), input("noise", shape...)
		in.Condition = input("condition", batch, 1)
		in.Mu, in.Sigma = input("mu", batch, 1), input("sigma", batch, 1)
		in.DMu, in.DSigma = input("dmu", batch, 1), input("dsigma", batch, 1)
		in.Weight = input("weight", batch, 1)
		if c.Classes > 0 {
			label = input("label", batch, c.Classes)
		}
		if training && c.Drops() {
			b.Key = graphop.Input(b.Graph, b.Dtype, "batch/key", len(graphop.PhiloxKey(0, 0)))
		}
	})
	if err != nil {
		return nil, nil, terms, err
	}
	terms, err = homotopy.Loss(objective, func(x, t *graphop.Node) *graphop.Node { return c.Build(b, x, t, label) }, in)
	return b, inputs, terms, err
}

// Indices of Step.Batch for a classifier.
const (
	BatchImages = 0 // [N, C, H, W] in [-1, 1]
	BatchLabels = 1 // one-hot [N, K]
)

// Classifier compiles a step that trains a classifier on (micro-)batches of the given size, see Potential. Step.Batch is
// images and one-hot labels.
func Classifier(be backend.Backend, c feature.Classifier, o optim.Config, batch int) (*Step, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	b := &layer.Builder{Graph: gorgonia.NewGraph(), Dtype: tensor.Float32}
	var x, labels, loss *graphop.Node
	err := graphop.Build(func() {
		x = graphop.Input(b.Graph, b.Dtype, "batch/x", append([]int{batch}, c.Shape...)...)
		labels = graphop.Input(b.Graph, b.Dtype, "batch/labels", batch, c.Classes)
		_, logits := c.Build(b, x)
		loss = feature.CrossEntropy(logits, labels)
	})
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	s := &Step{Kind: checkpoint.Classifier, Config: config, optim: o}
	return s, s.compile(be, b, []*graphop.Node{x, labels}, loss, nil)
}
