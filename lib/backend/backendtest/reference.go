package backendtest

import (
	"fmt"
	"maps"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"vapo/lib/backend"
	"vapo/lib/graphop"
)

// Interpret returns the reference executable, which defines what a graph computes. It evaluates every node with
// Operation.Do, children first, into separate memory. The program must link backend/tape.
func Interpret(g backend.Graph) backend.Executable {
	r := &reference{graph: g, state: map[string]gorgonia.Value{}}
	for _, s := range g.State {
		r.state[s.In.Name()] = tensor.New(tensor.WithShape(s.In.Shape()...), tensor.Of(s.In.Dtype()))
	}
	return r
}

type reference struct {
	graph backend.Graph
	state map[string]gorgonia.Value
}

func valueOf(n *graphop.Node, b backend.Buffer) gorgonia.Value {
	if n.Dtype() == tensor.Float64 {
		return tensor.New(tensor.WithShape(n.Shape()...), tensor.WithBacking(slices.Clone(b.F64)))
	}
	return tensor.New(tensor.WithShape(n.Shape()...), tensor.WithBacking(slices.Clone(b.F32)))
}

func copyValue(b backend.Buffer, v gorgonia.Value) {
	switch d := v.Data().(type) {
	case []float64:
		copy(b.F64, d)
	case []float32:
		copy(b.F32, d)
	}
}

// Run implements backend.Executable.
func (r *reference) Run(in, out []backend.Buffer) error {
	values := map[*graphop.Node]gorgonia.Value{}
	for i, n := range r.graph.Inputs {
		values[n] = valueOf(n, in[i])
	}
	next := map[string]gorgonia.Value{}
	for _, s := range r.graph.State {
		values[s.In] = r.state[s.In.Name()]
	}
	for _, s := range r.graph.State {
		if s.Out != nil {
			v, err := evaluate(values, s.Out)
			if err != nil {
				return err
			}
			next[s.In.Name()] = v
		}
	}
	for i, n := range r.graph.Outputs {
		v, err := evaluate(values, n)
		if err != nil {
			return err
		}
		copyValue(out[i], v)
	}
	maps.Copy(r.state, next)
	return nil
}

// Upload implements backend.Executable.
func (r *reference) Upload(_ int, v backend.Buffer) (backend.Buffer, error) { return v, nil }

func evaluate(values map[*graphop.Node]gorgonia.Value, n *graphop.Node) (gorgonia.Value, error) {
	stack := []*graphop.Node{n}
	for len(stack) > 0 {
		top := stack[len(stack)-1]
		if values[top] != nil {
			stack = stack[:len(stack)-1]
			continue
		}
		op := graphop.Of(top)
		if op == nil {
			return nil, fmt.Errorf("no value for %s", top.Name())
		}
		var args []gorgonia.Value
		ready := true
		for _, c := range graphop.Children(top) {
			if values[c] == nil {
				stack, ready = append(stack, c), false
			}
			args = append(args, values[c])
		}
		if !ready {
			continue
		}
		v, err := op.Do(args...)
		if err != nil {
			return nil, err
		}
		values[top] = v
	}
	return values[n], nil
}

// Load implements backend.Executable.
func (r *reference) Load(name string, b backend.Buffer) error {
	for _, s := range r.graph.State {
		if s.In.Name() == name {
			r.state[name] = valueOf(s.In, b)
			return nil
		}
	}
	return fmt.Errorf("load state %s: the graph has no such state", name)
}

// Store implements backend.Executable.
func (r *reference) Store(name string, b backend.Buffer) error {
	v, ok := r.state[name]
	if !ok {
		return fmt.Errorf("store state %s: the graph has no such state", name)
	}
	copyValue(b, v)
	return nil
}

// MemoryBytes implements backend.Executable.
func (r *reference) MemoryBytes() int64 { return 0 }
