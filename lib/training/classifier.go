package training

import (
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/feature"
	"vapo/lib/graphop"
	"vapo/lib/optim"
)

// Classifier compiles the training step of a classifier for batches of o.BatchImages samples. Its batches use only X
// and Labels.
func Classifier(be backend.Backend, c feature.Classifier, o optim.Config) (*Trainer, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	g := newStepGraph()
	rows, dim := o.BatchImages/o.Micro(), tensor.Shape(c.Shape).TotalSize()
	var loss *graphop.Node
	err := graphop.Build(func() {
		x := g.input("x", append([]int{rows}, c.Shape...)...)
		labels := g.input("labels", rows, c.Classes)
		_, logits := c.Build(g.net, x)
		loss = feature.CrossEntropy(logits, labels)
	})
	if err != nil {
		return nil, err
	}
	if g.grads, err = graphop.Grad(loss, g.net.Nodes()...); err != nil {
		return nil, err
	}
	if g.update, err = o.Build(loss, g.net.Nodes(), g.grads); err != nil {
		return nil, err
	}
	return newTrainer(be, checkpoint.Classifier, c, o, g, batchSize{o.BatchImages, o.Micro(), dim, c.Classes})
}
