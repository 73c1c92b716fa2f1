package potential

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/graphop"
	"vapo/lib/homotopy"
	"vapo/lib/layer"
)

// Field evaluates a trained potential and its velocity on blocks of one fixed size. The size is fixed because matrix
// products of a different size may round differently at their edges. With a fixed size, the bits of a row do not depend
// on the other rows.
type Field struct {
	Config Config
	Batch  int
	path   homotopy.Schedule
	exe    backend.Executable
	cond   []float32
	label  []float32 // one-hot [Batch, Classes]
	in     []backend.Buffer
	out    []backend.Buffer // the velocity and, if the network has one, the potential
}

// network is the graph of a network. label is nil for a network without classes.
type network struct {
	b                   *layer.Builder
	x, t, label, psi, u *graphop.Node // see Config.Evaluate
}

// Parameters lists a network's parameters in the order of its state dict.
func (c Config) Parameters() ([]layer.Param, error) {
	n, err := c.graph(1, 1)
	if err != nil {
		return nil, err
	}
	return n.b.Params, nil
}

// Initial returns the initial weights for training with the given seed, by parameter name.
func (c Config) Initial(seed uint64) (map[string][]float32, error) {
	params, err := c.Parameters()
	if err != nil {
		return nil, err
	}
	weights := map[string][]float32{}
	for _, p := range params {
		weights[p.Name] = p.Draw(seed)
	}
	return weights, nil
}

// graph builds the network for a batch of the given size. The network is guided unless guidance is 1.
func (c Config) graph(batch int, guidance float64) (*network, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	n := &network{b: &layer.Builder{Graph: gorgonia.NewGraph(), Dtype: tensor.Float32}}
	err := graphop.Build(func() {
		input := func(name string, shape ...int) *graphop.Node {
			return graphop.Input(n.b.Graph, n.b.Dtype, name, shape...)
		}
		n.x = input("x", c.batchShape(batch)...)
		n.t = input("condition", batch, 1)
		if c.Classes > 0 {
			n.label = input("label", batch, c.Classes)
		}
	})
	if err != nil {
		return nil, err
	}
	n.psi, n.u, err = c.evaluate(n.b, n.x, n.t, n.label, guidance)
	return n, err
}

// guided adds the guided network to the builder's graph; see NewGuidedField.
func (c Config) guided(b *layer.Builder, x, t, label *graphop.Node, guidance float64) *graphop.Node {
	if guidance == 1 {
		return c.build(b, x, t, label)
	}
	// Evaluate both potentials in one batch: all rows with their labels, then all rows without labels.
	batch := x.Shape()[0]
	none := graphop.Fill(label, 0, batch, c.Classes)
	both := c.build(b, graphop.Concat(0, x, x), graphop.Concat(0, t, t), graphop.Concat(0, label, none))
	conditional, unconditional := graphop.Slice(both, 0, 0, batch), graphop.Slice(both, 0, batch, 2*batch)
	return graphop.Add(unconditional, graphop.Scale(graphop.Sub(conditional, unconditional), guidance))
}

// LabelState is the state of Velocity that holds the labels.
const LabelState = "label"

// Velocity adds the velocity of sampling, dx/ds, to the graph that contains x [N, D] and the integration variables s
// [N, 1] (see homotopy.Schedule). guidance is g of NewGuidedField. The velocity depends on the weights (see
// LoadWeights) and, for a network with classes, on LabelState [N, Classes] (see OneHot).
func (c Config) Velocity(x, s *graphop.Node, guidance float64) (*graphop.Node, []backend.State, error) {
	if err := c.checkGuidance(guidance); err != nil {
		return nil, nil, err
	}
	path, err := c.Path()
	if err != nil {
		return nil, nil, err
	}
	b := &layer.Builder{Graph: x.Graph(), Dtype: x.Dtype()}
	n := x.Shape()[0]
	var states []backend.State
	var label, images, condition, dx *graphop.Node
	err = graphop.Build(func() {
		images, condition = graphop.Reshape(x, c.batchShape(n)...), path.ConditionAt(s)
		if c.Classes > 0 {
			label = graphop.Input(b.Graph, b.Dtype, LabelState, n, c.Classes)
			states = append(states, backend.State{In: label})
		}
	})
	if err != nil {
		return nil, nil, err
	}
	_, u, err := c.evaluate(b, images, condition, label, guidance)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range b.Params {
		states = append(states, backend.State{In: p.Node})
	}
	err = graphop.Build(func() {
		if dx = graphop.Reshape(u, x.Shape()...); c.Output == homotopy.Noise {
			dx = homotopy.VelocityOfNoise(path, x, dx, s)
		}
	})
	return dx, states, err
}

// checkGuidance validates the strength of guidance.
func (c Config) checkGuidance(g float64) error {
	if g != 1 && c.Classes == 0 {
		return fmt.Errorf("guidance %v needs a network with classes, but this %s has none", g, c.Kind)
	}
	if v := float32(g); v-v != 0 {
		return fmt.Errorf("guidance is %v, expected a finite number", g)
	}
	return nil
}

// OneHot writes labels to dst [len(labels), Classes]. Each label is a class index or NoLabel.
func (c Config) OneHot(dst []float32, labels []int) error {
	clear(dst)
	for i, l := range labels {
		if l < NoLabel || l >= c.Classes {
			clear(dst)
			return fmt.Errorf("labels of a field: row %d is of class %d, but the %s has %d classes", i, l, c.Kind, c.Classes)
		}
		if l != NoLabel {
			dst[i*c.Classes+l] = 1
		}
	}
	return nil
}

// LoadWeights passes the weights, by parameter name without a group prefix, to load as states of Velocity.
func (c Config) LoadWeights(load func(state string, v backend.Buffer) error, weights map[string][]float32) error {
	params, err := c.Parameters()
	if err != nil {
		return err
	}
	for _, p := range params {
		w, ok := weights[p.Name]
		if !ok {
			return fmt.Errorf("weights of a %s: %s is missing", c.Kind, p.Name)
		}
		if err := load(checkpoint.Param+p.Name, backend.F32(w)); err != nil {
			return fmt.Errorf("weights of a %s: %w", c.Kind, err)
		}
	}
	return nil
}

// NewField compiles the potential for blocks of the given batch size. weights are keyed by parameter name, without a
// group prefix.
func NewField(be backend.Backend, c Config, weights map[string][]float32, batch int) (*Field, error) {
	return NewGuidedField(be, c, weights, batch, 1)
}

// NewGuidedField compiles the guided potential of a network with classes,
//
//	Phi_g(x, t, y) = Phi(x, t) + g·(Phi(x, t, y) - Phi(x, t)),
//
// whose gradient is the field of classifier-free guidance (Ho and Salimans, arXiv 2207.12598, equation 6, whose w is
// g-1). Networks that model a velocity or noise are combined in the same way. g = 1 gives the conditional potential and
// g = 0 the unconditional one; a larger g exaggerates the features of the class. Unless g is 1, an evaluation costs as
// much as two.
func NewGuidedField(be backend.Backend, c Config, weights map[string][]float32, batch int, g float64) (*Field, error) {
	if err := c.checkGuidance(g); err != nil {
		return nil, err
	}
	path, err := c.Path()
	if err != nil {
		return nil, err
	}
	n, err := c.graph(batch, g)
	if err != nil {
		return nil, err
	}
	graph := backend.Graph{Inputs: []*graphop.Node{n.x, n.t}, Outputs: []*graphop.Node{n.u}}
	if n.psi != nil {
		graph.Outputs = append(graph.Outputs, n.psi)
	}
	if n.label != nil {
		graph.Inputs = append(graph.Inputs, n.label)
	}
	for _, p := range n.b.Params {
		graph.State = append(graph.State, backend.State{In: p.Node})
	}
	exe, err := be.Compile(graph)
	if err != nil {
		return nil, fmt.Errorf("compile the field of a %s: %w", c.Kind, backend.FixedBatch(err))
	}
	f := &Field{
		Config: c, Batch: batch, path: path, exe: exe,
		cond: make([]float32, batch), label: make([]float32, batch*c.Classes),
	}
	f.in = make([]backend.Buffer, len(graph.Inputs))
	if n.label != nil {
		f.in[2] = backend.F32(f.label)
	}
	f.out = make([]backend.Buffer, len(graph.Outputs))
	return f, f.Load(weights)
}

// NoLabel marks a row of a block that is evaluated without a label.
const NoLabel = -1

// SetLabels sets the label of each row for the following evaluations. labels holds Batch values, each a class index or
// NoLabel. Before the first call all rows are evaluated without a label.
func (f *Field) SetLabels(labels []int) error {
	if len(labels) != f.Batch {
		return fmt.Errorf("labels of a field: got %d, expected a block of %d", len(labels), f.Batch)
	}
	return f.Config.OneHot(f.label, labels)
}

// Load sets the weights, by parameter name without a group prefix.
func (f *Field) Load(weights map[string][]float32) error {
	return f.Config.LoadWeights(f.exe.Load, weights)
}

// Eval computes Phi and grad_x Phi at x [Batch, D] and times t [Batch] into phi [Batch] and velocity [Batch, D]. If phi
// is nil, Eval computes only the velocity dx/dt, which every network has. Eval is not safe for concurrent use.
func (f *Field) Eval(x, t, phi, velocity []float32) error {
	if len(t) != f.Batch {
		return fmt.Errorf("evaluate the field: got %d times, expected a block of %d", len(t), f.Batch)
	}
	if f.Config.Output != homotopy.Potential && phi != nil {
		return f.Config.HasPotential("Phi")
	}
	if phi == nil {
		phi = make([]float32, f.Batch)
	}
	for i, v := range t {
		f.cond[i] = float32(f.path.Condition(float64(v)))
	}
	f.in[0], f.in[1] = backend.F32(x), backend.F32(f.cond)
	f.out[0] = backend.F32(velocity)
	if len(f.out) > 1 {
		f.out[1] = backend.F32(phi)
	}
	if err := f.exe.Run(f.in, f.out); err != nil {
		return err
	}
	d := f.Config.Dim()
	for i, v := range t {
		row := velocity[i*d : (i+1)*d]
		if f.Config.Output == homotopy.Noise {
			p := f.path.At(float64(v))
			for k := range row {
				row[k] = float32(p.VelocityOf(float64(x[i*d+k]), float64(row[k])))
			}
		} else if rate := float32(f.path.Rate(float64(v))); rate != 1 { // the network models Psi = dt/ds · Phi
			phi[i] /= rate
			for k := range row {
				row[k] /= rate
			}
		}
	}
	return nil
}
