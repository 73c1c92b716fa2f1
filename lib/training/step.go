// Package training compiles one optimiser step of a network, forward pass to updated weights, as one graph, and moves
// its state between the engine and checkpoints.
//
// A step's inputs are pure functions of (seed, step) drawn by the caller and its state is what a checkpoint holds, so
// a run that is killed and resumed computes what it would have computed, to the bit on one engine.
package training

import (
	"encoding/json"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"vapo/lib/autodiff"
	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/feature"
	"vapo/lib/graphop"
	"vapo/lib/homotopy"
	"vapo/lib/layer"
	"vapo/lib/optim"
	"vapo/lib/potential"
)

// Step is a compiled optimiser step.
type Step struct {
	Kind   string // of the checkpoints: checkpoint.Potential or checkpoint.Classifier
	Config json.RawMessage
	Params []layer.Param
	// Batch holds the float32 inputs of one step, to be filled before Run; see Potential and Classifier.
	Batch [][]float32
	// Seed is that of the dropout masks, which are a function of it and the step's number; set before Run. Networks
	// that drop nothing do not look at it.
	Seed uint64

	optim   optim.Config
	hyper   [optim.Inputs][]float32
	key     []float32 // of the masks: graphop.PhiloxKey; nil where nothing is dropped
	exe     backend.Executable
	in, out []backend.Buffer
	metrics []string
	scalars [][]float32
}

// Metrics are the scalars of one step.
type Metrics struct {
	Loss     float64
	GradNorm float64 // of the parameters' gradient, before clipping
	Applied  bool    // false where the step would have made the state non-finite and was skipped
	FieldRMS float64 // root mean square of the velocity per unit of the integration variable; 0 for a classifier
	Rate     float64 // learning rate
}

// Indices of Step.Batch for a potential; the columns of homotopy.Fill follow.
const (
	BatchX     = 0 // data [N, D]
	BatchNoise = 1 // standard normal [N, D]
	BatchTimes = 2
	BatchLabel = BatchTimes + homotopy.Columns // one-hot [N, Classes], all 0 where the label is dropped
)

// Potential compiles a step that trains a potential on batches of the given size. Step.Batch is data, noise and the
// columns of homotopy.Fill; for a network that knows classes the labels follow.
func Potential(be backend.Backend, c potential.Config, objective string, o optim.Config, batch int) (*Step, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if err := homotopy.Check(objective, c.Schedule); err != nil {
		return nil, err
	}
	b := &layer.Builder{Graph: gorgonia.NewGraph(), Dtype: tensor.Float32}
	shape := append([]int{batch}, c.Shape...)
	var in homotopy.Batch
	var inputs []*graphop.Node
	var label *graphop.Node
	err := graphop.Build(func() {
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
		if c.Drops() {
			b.Key = graphop.Input(b.Graph, b.Dtype, "batch/key", len(graphop.PhiloxKey(0, 0)))
		}
	})
	if err != nil {
		return nil, err
	}
	terms, err := homotopy.Loss(objective, func(x, t *graphop.Node) *graphop.Node { return c.Build(b, x, t, label) }, in)
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	s := &Step{Kind: checkpoint.Potential, Config: config, optim: o, metrics: []string{"field_rms"}}
	return s, s.compile(be, b, inputs, terms.Loss, terms.GradNorm)
}

// Indices of Step.Batch for a classifier.
const (
	BatchImages = 0 // [N, C, H, W] in [-1, 1]
	BatchLabels = 1 // one-hot [N, K]
)

// Classifier compiles a step that trains a classifier. Step.Batch is images and one-hot labels.
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
	return s, s.compile(be, b, []*graphop.Node{x, labels}, loss)
}

func (s *Step) compile(be backend.Backend, b *layer.Builder, inputs []*graphop.Node, loss *graphop.Node, extra ...*graphop.Node) error {
	s.Params = b.Params
	grads, err := autodiff.Grad(loss, b.Nodes()...)
	if err != nil {
		return err
	}
	u, err := optim.Step(s.optim, loss, b.Nodes(), grads)
	if err != nil {
		return err
	}
	g := backend.Graph{
		Inputs:  slices.Concat(inputs, u.Inputs),
		State:   u.State,
		Outputs: append([]*graphop.Node{loss, u.GradNorm, u.Applied}, extra...),
	}
	if b.Key != nil {
		g.Inputs = append(g.Inputs, b.Key)
	}
	if s.exe, err = be.Compile(g); err != nil {
		return fmt.Errorf("compile a training step: %w", err)
	}
	for _, n := range inputs {
		v := make([]float32, n.Shape().TotalSize())
		s.Batch = append(s.Batch, v)
		s.in = append(s.in, backend.F32(v))
	}
	for i := range s.hyper {
		s.hyper[i] = make([]float32, 1)
		s.in = append(s.in, backend.F32(s.hyper[i]))
	}
	if b.Key != nil {
		s.key = make([]float32, b.Key.Shape().TotalSize())
		s.in = append(s.in, backend.F32(s.key))
	}
	for range g.Outputs {
		v := make([]float32, 1)
		s.scalars = append(s.scalars, v)
		s.out = append(s.out, backend.F32(v))
	}
	return nil
}

// Run takes the step of the given number (0 for the first) on what Batch holds.
func (s *Step) Run(step int64) (Metrics, error) {
	h := s.optim.Hyper(step)
	h.Fill(&s.hyper)
	if s.key != nil {
		for i, v := range graphop.PhiloxKey(s.Seed, uint64(step)) {
			s.key[i] = float32(v)
		}
	}
	if err := s.exe.Run(s.in, s.out); err != nil {
		return Metrics{}, fmt.Errorf("training step %d: %w", step, err)
	}
	m := Metrics{
		Loss: float64(s.scalars[0][0]), GradNorm: float64(s.scalars[1][0]),
		Applied: s.scalars[2][0] != 0, Rate: h.Rate,
	}
	if len(s.metrics) > 0 {
		m.FieldRMS = float64(s.scalars[3][0])
	}
	return m, nil
}

// SwapBatch makes next, slices of the lengths of Batch's, what the next Run works on, and returns what Batch was: so one
// batch can be drawn while another is computed on.
func (s *Step) SwapBatch(next [][]float32) [][]float32 {
	old := s.Batch
	s.Batch = next
	for i, v := range next {
		s.in[i] = backend.F32(v)
	}
	return old
}

// MemoryBytes is what the compiled step holds.
func (s *Step) MemoryBytes() int64 { return s.exe.MemoryBytes() }

// Initialise sets the weights and their averages to their initial values for a seed, and the moments to 0.
func (s *Step) Initialise(seed uint64) error {
	for _, p := range s.Params {
		v := p.Draw(seed)
		for _, group := range []string{optim.Param, optim.EMA} {
			if err := s.exe.Load(group+p.Name, backend.F32(v)); err != nil {
				return err
			}
		}
		zero := make([]float32, len(v))
		for _, group := range []string{optim.First, optim.Second} {
			if err := s.exe.Load(group+p.Name, backend.F32(zero)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Checkpoint copies the state out. step is the number of steps taken.
func (s *Step) Checkpoint(step int64) (*checkpoint.Checkpoint, error) {
	c := &checkpoint.Checkpoint{Kind: s.Kind, Config: s.Config, Step: step}
	for _, group := range optim.Groups() {
		for _, p := range s.Params {
			n := 1
			for _, d := range p.Shape {
				n *= d
			}
			v := make([]float32, n)
			if err := s.exe.Store(group+p.Name, backend.F32(v)); err != nil {
				return nil, err
			}
			c.Tensors = append(c.Tensors, checkpoint.Named{Name: group + p.Name, Shape: p.Shape, Data: v})
		}
	}
	return c, nil
}

// Restore sets the state from a checkpoint of the same network.
func (s *Step) Restore(c *checkpoint.Checkpoint) error {
	if c.Kind != s.Kind || string(c.Config) != string(s.Config) {
		return fmt.Errorf("checkpoint of a %s %s does not fit the %s %s being trained", c.Kind, c.Config, s.Kind, s.Config)
	}
	shapes := map[string][]int{}
	for _, p := range s.Params {
		shapes[p.Name] = p.Shape
	}
	for _, group := range optim.Groups() {
		weights, err := c.Weights(group, shapes)
		if err != nil {
			return err
		}
		for name, v := range weights {
			if err := s.exe.Load(group+name, backend.F32(v)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Averages returns the moving averages of the weights, by parameter name.
func (s *Step) Averages() (map[string][]float32, error) {
	out := map[string][]float32{}
	for _, p := range s.Params {
		n := 1
		for _, d := range p.Shape {
			n *= d
		}
		v := make([]float32, n)
		if err := s.exe.Store(optim.EMA+p.Name, backend.F32(v)); err != nil {
			return nil, err
		}
		out[p.Name] = v
	}
	return out, nil
}
