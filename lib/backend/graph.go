package backend

import (
	"errors"
	"fmt"

	"gorgonia.org/tensor"

	"vapo/lib/graphop"
)

// Roots are the nodes that a run computes: next states, then outputs.
func (g Graph) Roots() []*graphop.Node {
	var r []*graphop.Node
	for _, s := range g.State {
		if s.Out != nil {
			r = append(r, s.Out)
		}
	}
	return append(r, g.Outputs...)
}

// Check says what is wrong with a graph, and returns its one element type, float32 or float64.
func (g Graph) Check() (tensor.Dtype, error) {
	var dt tensor.Dtype
	all := g.Roots()
	if len(all) == 0 {
		return dt, errors.New("compile: the graph has no outputs")
	}
	leaves := append([]*graphop.Node(nil), g.Inputs...)
	for _, s := range g.State {
		leaves = append(leaves, s.In)
	}
	for i, n := range append(all, leaves...) {
		if n == nil {
			return dt, errors.New("compile: a nil node among the inputs, states or outputs")
		}
		if i == 0 {
			dt = n.Dtype()
		}
		if n.Dtype() != dt {
			return dt, fmt.Errorf("compile: element types differ: %v and %v", dt, n.Dtype())
		}
	}
	if dt != tensor.Float32 && dt != tensor.Float64 {
		return dt, fmt.Errorf("compile: element type %v is not supported, expected float32 or float64", dt)
	}
	declared := map[*graphop.Node]bool{}
	for _, n := range leaves {
		if n.Op() != nil {
			return dt, fmt.Errorf("compile: %v is declared as an input or state but is computed", n)
		}
		if declared[n] {
			return dt, fmt.Errorf("compile: input %s is declared twice", n.Name())
		}
		declared[n] = true
	}
	for _, s := range g.State {
		if s.Out != nil && !graphop.SameShape(s.Out.Shape(), s.In.Shape()) {
			return dt, fmt.Errorf("compile: state %s has shape %v but its next value has %v", s.In.Name(), s.In.Shape(), s.Out.Shape())
		}
	}
	for _, n := range g.Order() {
		switch {
		case graphop.Of(n) != nil || declared[n]:
		case n.Op() == nil:
			return dt, fmt.Errorf("compile: input %s is used but neither fed nor a state", n.Name())
		default:
			return dt, fmt.Errorf("compile: operation %v is not of the family", n.Op())
		}
	}
	return dt, nil
}

// Order lists the nodes that a run computes and what they are computed from, children first.
func (g Graph) Order() []*graphop.Node { return graphop.Order(g.Roots()...) }
