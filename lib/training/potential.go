package training

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/graphop"
	"vapo/lib/homotopy"
	"vapo/lib/layer"
	"vapo/lib/optim"
	"vapo/lib/potential"
)

// stepGraph is a training step as a graph.
type stepGraph struct {
	net    *layer.Builder
	inputs []*graphop.Node // the inputs of the batch, in the order of Batch.bind
	terms  homotopy.Terms  // for a potential: the loss and the values that are reported with it
	grads  []*graphop.Node // gradients of the loss, in the order of net.Params
	update optim.Update
}

// potentialStep builds one training step of a potential, from the batch to the update. The equations are those of
// package homotopy. On schedules that are integrated in t, Psi is Phi:
//
//	x_t = mu·x̄ + sigma·eps           a point on the path of each sample (H4)
//	Psi = Psi_theta(x_t, t)          the network, one scalar per sample; t enters as Schedule.Condition
//	u   = grad_x Psi                 its gradient in x, the velocity of the flow
//	L   = E[weight·loss(Psi, u, v)]  the objective (L4, L5 or L7), per dimension; L5 is 1/2 |u - v|² with
//	                                 v = mu'·x̄ + sigma'·eps
//	g   = dL/dtheta                  a second derivative of the network, since L contains grad_x Psi
//	theta, moments, averages         updated with g by Adam (package optim)
//
// With the objectives R1 and R2 the network has no Psi: it models u, which is then the velocity or the noise, and the
// step needs no second derivative.
//
// If o is nil, the step ends with g and has no dropout.
//
// If remat is set, large values inside the network's blocks are computed again when a gradient needs them.
func potentialStep(c potential.Config, objective string, o *optim.Config, rows int, remat bool) (*stepGraph, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if err := homotopy.Check(objective, c.Schedule); err != nil {
		return nil, err
	}
	step := newStepGraph()
	if want := homotopy.OutputOf(objective); c.Output != want {
		return nil, fmt.Errorf("objective %s: the network has the output %q, expected %q", objective, c.Output, want)
	}
	step.net.Remat = remat
	var x, label *graphop.Node
	var in homotopy.Inputs
	err := graphop.Build(func() {
		in, label = step.potentialInputs(c, rows, o != nil)
		x = in.At() // x_t
	})
	if err != nil {
		return nil, err
	}
	psi, u, err := c.Evaluate(step.net, x, in.Condition, label) // Psi and u = grad_x Psi
	if err != nil {
		return nil, err
	}
	if step.terms, err = homotopy.Loss(objective, in, psi, u); err != nil { // L
		return nil, err
	}
	step.grads, err = graphop.Grad(step.terms.Loss, step.net.Nodes()...) // g = dL/dtheta
	if err == nil && remat {
		err = step.rematerialise()
	}
	if err != nil || o == nil {
		return step, err
	}
	step.update, err = o.Build(step.terms.Loss, step.net.Nodes(), step.grads) // theta, moments, averages
	return step, err
}

// rematerialise replaces the nodes of the loss and of its gradients; see graphop.Rematerialise. It must run before the
// update is built. At that point the gradients, which the update reads, are roots, and no root is computed twice.
func (s *stepGraph) rematerialise() error {
	t := &s.terms
	all := []**graphop.Node{&t.Loss, &t.FieldRMS, &t.Losses, &t.Squares}
	if t.Values != nil {
		all = append(all, &t.Values)
	}
	for i := range s.grads {
		all = append(all, &s.grads[i])
	}
	roots := make([]*graphop.Node, len(all))
	for i, n := range all {
		roots[i] = *n
	}
	roots, err := graphop.Rematerialise(roots...)
	if err != nil {
		return err
	}
	for i, n := range roots {
		*all[i] = n
	}
	return nil
}

func newStepGraph() *stepGraph {
	return &stepGraph{net: &layer.Builder{Graph: gorgonia.NewGraph(), Dtype: tensor.Float32}}
}

// input declares an input of the batch.
func (s *stepGraph) input(name string, shape ...int) *graphop.Node {
	n := graphop.Input(s.net.Graph, s.net.Dtype, "batch/"+name, shape...)
	s.inputs = append(s.inputs, n)
	return n
}

func (s *stepGraph) potentialInputs(c potential.Config, rows int, drop bool) (in homotopy.Inputs, label *graphop.Node) {
	shape := append([]int{rows}, c.Shape...)
	in.X, in.Noise = s.input("x", shape...), s.input("noise", shape...)
	in.Condition = s.input("condition", rows, 1)
	in.Mu, in.Sigma = s.input("mu", rows, 1), s.input("sigma", rows, 1)
	in.DMu, in.DSigma = s.input("dmu", rows, 1), s.input("dsigma", rows, 1)
	in.Weight = s.input("weight", rows, 1)
	if c.Classes > 0 {
		label = s.input("label", rows, c.Classes)
	}
	if drop && c.Drops() {
		s.net.Key = graphop.Input(s.net.Graph, s.net.Dtype, "batch/key", len(graphop.PhiloxKey(0, 0)))
	}
	return in, label
}

// Potential compiles the training step of a potential for batches of o.BatchImages samples. With remat, the step needs
// less memory and more time.
func Potential(be backend.Backend, c potential.Config, objective string, o optim.Config, remat bool) (*Trainer, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	step, err := potentialStep(c, objective, &o, o.BatchImages/o.Micro(), remat)
	if err != nil {
		return nil, err
	}
	return newTrainer(be, checkpoint.Potential, c, o, step, batchSize{o.BatchImages, o.Micro(), c.Dim(), c.Classes})
}
