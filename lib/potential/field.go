package potential

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"vapo/lib/autodiff"
	"vapo/lib/backend"
	"vapo/lib/graphop"
	"vapo/lib/homotopy"
	"vapo/lib/layer"
	"vapo/lib/optim"
)

// Field evaluates a trained potential and its gradient on blocks of one fixed size. The size is fixed because the
// edges of a matrix product round differently: row k of a block gets the same bits whatever the other rows hold.
type Field struct {
	Config Config
	Batch  int
	path   homotopy.Schedule
	exe    backend.Executable
	params []layer.Param
	cond   []float32
	phi    []float32
	in     []backend.Buffer
	out    []backend.Buffer
}

// Parameters lists a network's parameters in the order of its state dict.
func (c Config) Parameters() ([]layer.Param, error) {
	b, _, _, _, err := c.graph(1)
	if err != nil {
		return nil, err
	}
	return b.Params, nil
}

func (c Config) graph(batch int) (b *layer.Builder, x, t, phi *graphop.Node, err error) {
	if err := c.Check(); err != nil {
		return nil, nil, nil, nil, err
	}
	b = &layer.Builder{Graph: gorgonia.NewGraph(), Dtype: tensor.Float32}
	err = graphop.Build(func() {
		x = graphop.Input(b.Graph, b.Dtype, "x", c.batchShape(batch)...)
		t = graphop.Input(b.Graph, b.Dtype, "condition", batch, 1)
		phi = c.Build(b, x, t, nil)
	})
	return b, x, t, phi, err
}

// NewField compiles the potential for blocks of batch samples. weights are by parameter name, without a group prefix.
func NewField(be backend.Backend, c Config, weights map[string][]float32, batch int) (*Field, error) {
	path, err := c.Path()
	if err != nil {
		return nil, err
	}
	b, x, t, phi, err := c.graph(batch)
	if err != nil {
		return nil, err
	}
	grads, err := autodiff.Grad(phi, x)
	if err != nil {
		return nil, err
	}
	g := backend.Graph{Inputs: []*graphop.Node{x, t}, Outputs: []*graphop.Node{phi, grads[0]}}
	for _, p := range b.Params {
		g.State = append(g.State, backend.State{In: p.Node})
	}
	exe, err := be.Compile(g)
	if err != nil {
		return nil, fmt.Errorf("compile the field of a %s: %w", c.Kind, err)
	}
	f := &Field{Config: c, Batch: batch, path: path, exe: exe, params: b.Params, cond: make([]float32, batch), phi: make([]float32, batch)}
	f.in = make([]backend.Buffer, 2)
	f.out = make([]backend.Buffer, 2)
	return f, f.Load(weights)
}

// Load sets the weights, by parameter name without a group prefix.
func (f *Field) Load(weights map[string][]float32) error {
	for _, p := range f.params {
		w, ok := weights[p.Name]
		if !ok {
			return fmt.Errorf("weights of a %s: %s is missing", f.Config.Kind, p.Name)
		}
		if err := f.exe.Load(optim.Param+p.Name, backend.F32(w)); err != nil {
			return fmt.Errorf("weights of a %s: %w", f.Config.Kind, err)
		}
	}
	return nil
}

// Eval computes Phi and grad_x Phi at x [Batch, D] and times t [Batch] into phi [Batch], which may be nil, and
// grad [Batch, D]. It is not safe for concurrent use.
func (f *Field) Eval(x, t, phi, grad []float32) error {
	if len(t) != f.Batch {
		return fmt.Errorf("evaluate the field: got %d times, expected a block of %d", len(t), f.Batch)
	}
	for i, v := range t {
		f.cond[i] = float32(f.path.Condition(float64(v)))
	}
	if phi == nil {
		phi = f.phi
	}
	f.in[0], f.in[1] = backend.F32(x), backend.F32(f.cond)
	f.out[0], f.out[1] = backend.F32(phi), backend.F32(grad)
	if err := f.exe.Run(f.in, f.out); err != nil {
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
	if len(s) != f.Batch {
		return fmt.Errorf("evaluate the flow: got %d times, expected a block of %d", len(s), f.Batch)
	}
	for i, v := range s {
		t, _ := f.path.Time(float64(v))
		f.cond[i] = float32(f.path.Condition(t))
	}
	f.in[0], f.in[1] = backend.F32(x), backend.F32(f.cond)
	f.out[0], f.out[1] = backend.F32(f.phi), backend.F32(dx)
	return f.exe.Run(f.in, f.out)
}
