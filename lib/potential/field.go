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

// Field evaluates a trained potential and its gradient on blocks of one fixed size. The size is fixed because matrix
// products of another size may round differently at their edges. With a fixed size, the bits of a row do not depend on
// the other rows.
type Field struct {
	Config Config
	Batch  int
	path   homotopy.Schedule
	exe    backend.Executable
	params []layer.Param
	cond   []float32
	label  []float32 // one-hot [Batch, Classes]
	phi    []float32
	in     []backend.Buffer
	out    []backend.Buffer
}

// network is the graph of a potential. label is nil for a network without classes.
type network struct {
	b                *layer.Builder
	x, t, label, phi *graphop.Node
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

// graph builds the potential for batch samples, guided unless guidance is 1.
func (c Config) graph(batch int, guidance float64) (*network, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	n := &network{b: &layer.Builder{Graph: gorgonia.NewGraph(), Dtype: tensor.Float32}}
	return n, graphop.Build(func() {
		input := func(name string, shape ...int) *graphop.Node {
			return graphop.Input(n.b.Graph, n.b.Dtype, name, shape...)
		}
		n.x = input("x", c.batchShape(batch)...)
		n.t = input("condition", batch, 1)
		if c.Classes > 0 {
			n.label = input("label", batch, c.Classes)
		}
		if guidance == 1 {
			n.phi = c.Build(n.b, n.x, n.t, n.label)
			return
		}
		// Evaluate both potentials in one batch: all rows with their labels, then all rows without.
		none := graphop.Fill(n.label, 0, batch, c.Classes)
		both := c.Build(n.b, graphop.Concat(0, n.x, n.x), graphop.Concat(0, n.t, n.t), graphop.Concat(0, n.label, none))
		conditional, unconditional := graphop.Slice(both, 0, 0, batch), graphop.Slice(both, 0, batch, 2*batch)
		n.phi = graphop.Add(unconditional, graphop.Scale(graphop.Sub(conditional, unconditional), guidance))
	})
}

// NewField compiles the potential for blocks of batch samples. weights are by parameter name, without a group prefix.
func NewField(be backend.Backend, c Config, weights map[string][]float32, batch int) (*Field, error) {
	return NewGuidedField(be, c, weights, batch, 1)
}

// NewGuidedField compiles the guided potential of a network with classes,
//
//	Phi_g(x, t, y) = Phi(x, t) + g·(Phi(x, t, y) - Phi(x, t)),
//
// whose gradient is the field of classifier-free guidance (Ho and Salimans, arXiv 2207.12598, equation 6, with g = 1 +
// w). g = 1 gives the conditional potential and g = 0 the unconditional one; a larger g exaggerates the features of the
// class. Unless g is 1, an evaluation costs as much as two.
func NewGuidedField(be backend.Backend, c Config, weights map[string][]float32, batch int, g float64) (*Field, error) {
	if g != 1 && c.Classes == 0 {
		return nil, fmt.Errorf("guidance %v of a %s without classes", g, c.Kind)
	}
	if v := float32(g); v-v != 0 {
		return nil, fmt.Errorf("guidance is %v, expected a finite number", g)
	}
	path, err := c.Path()
	if err != nil {
		return nil, err
	}
	n, err := c.graph(batch, g)
	if err != nil {
		return nil, err
	}
	grads, err := graphop.Grad(n.phi, n.x)
	if err != nil {
		return nil, err
	}
	graph := backend.Graph{Inputs: []*graphop.Node{n.x, n.t}, Outputs: []*graphop.Node{n.phi, grads[0]}}
	if n.label != nil {
		graph.Inputs = append(graph.Inputs, n.label)
	}
	for _, p := range n.b.Params {
		graph.State = append(graph.State, backend.State{In: p.Node})
	}
	exe, err := be.Compile(graph)
	if err != nil {
		return nil, fmt.Errorf("compile the field of a %s: %w", c.Kind, err)
	}
	f := &Field{
		Config: c, Batch: batch, path: path, exe: exe, params: n.b.Params,
		cond: make([]float32, batch), label: make([]float32, batch*c.Classes), phi: make([]float32, batch),
	}
	f.in = make([]backend.Buffer, len(graph.Inputs))
	if n.label != nil {
		f.in[2] = backend.F32(f.label)
	}
	f.out = make([]backend.Buffer, 2)
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
	clear(f.label)
	for i, l := range labels {
		if l < NoLabel || l >= f.Config.Classes {
			clear(f.label)
			return fmt.Errorf("labels of a field: row %d is of class %d, the %s has %d classes",
				i, l, f.Config.Kind, f.Config.Classes)
		}
		if l != NoLabel {
			f.label[i*f.Config.Classes+l] = 1
		}
	}
	return nil
}

// Load sets the weights, by parameter name without a group prefix.
func (f *Field) Load(weights map[string][]float32) error {
	for _, p := range f.params {
		w, ok := weights[p.Name]
		if !ok {
			return fmt.Errorf("weights of a %s: %s is missing", f.Config.Kind, p.Name)
		}
		if err := f.exe.Load(checkpoint.Param+p.Name, backend.F32(w)); err != nil {
			return fmt.Errorf("weights of a %s: %w", f.Config.Kind, err)
		}
	}
	return nil
}

// Eval computes Phi and grad_x Phi at x [Batch, D] and times t [Batch] into phi [Batch], which may be nil, and grad
// [Batch, D]. Eval is not safe for concurrent use.
func (f *Field) Eval(x, t, phi, grad []float32) error {
	if phi == nil {
		phi = f.phi
	}
	err := f.run(x, t, phi, grad, func(t float64) float64 { return t })
	if err != nil {
		return err
	}
	d := f.Config.Dim()
	for i, v := range t { // the network is Psi = dt/ds · Phi
		if rate := float32(f.path.Rate(float64(v))); rate != 1 {
			phi[i] /= rate
			for k := range d {
				grad[i*d+k] /= rate
			}
		}
	}
	return nil
}

// Flow computes the velocity of sampling, dx/ds = dt/ds · grad Phi, at x [Batch, D] and integration variables s
// [Batch] (see homotopy.Schedule) into dx [Batch, D].
func (f *Field) Flow(x, s, dx []float32) error {
	return f.run(x, s, f.phi, dx, func(s float64) float64 { t, _ := f.path.Time(s); return t })
}

// run evaluates the network and its gradient. The function time converts the values of at to times t.
func (f *Field) run(x, at, psi, grad []float32, time func(float64) float64) error {
	if len(at) != f.Batch {
		return fmt.Errorf("evaluate the field: got %d times, expected a block of %d", len(at), f.Batch)
	}
	for i, v := range at {
		f.cond[i] = float32(f.path.Condition(time(float64(v))))
	}
	f.in[0], f.in[1] = backend.F32(x), backend.F32(f.cond)
	f.out[0], f.out[1] = backend.F32(psi), backend.F32(grad)
	return f.exe.Run(f.in, f.out)
}
