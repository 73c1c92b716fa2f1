package backend

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/tensor"

	"vapo/lib/graphop"
)

// Roots returns the nodes that a run computes: next states, then outputs.
func (g Graph) Roots() []*graphop.Node {
	var r []*graphop.Node
	for _, s := range g.State {
		if s.Out != nil {
			r = append(r, s.Out)
		}
	}
	return append(r, g.Outputs...)
}

// Check validates the graph for Compile and returns the graph's element type. A graph is valid if
//
//   - it has outputs or next states;
//   - no input, state or output is nil;
//   - inputs, states, next states and outputs have the same element type, float32 or float64;
//   - every input and state is a node without an operation and is declared once;
//   - every other node has an operation of package graphop;
//   - every next state has the shape of its state.
func (g Graph) Check() (tensor.Dtype, error) {
	var dt tensor.Dtype
	all := g.Roots()
	if len(all) == 0 {
		return dt, errors.New("compile: the graph has neither outputs nor next states")
	}
	leaves := slices.Clone(g.Inputs)
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
			return dt, fmt.Errorf("compile: %v is declared as an input or state, but it has an operation", n)
		}
		if declared[n] {
			return dt, fmt.Errorf("compile: %s is declared twice among the inputs and states", n.Name())
		}
		declared[n] = true
	}
	for _, s := range g.State {
		if s.Out != nil && !graphop.SameShape(s.Out.Shape(), s.In.Shape()) {
			return dt, fmt.Errorf("compile: state %s has shape %v but its next value has %v",
				s.In.Name(), s.In.Shape(), s.Out.Shape())
		}
	}
	for _, n := range g.Order() {
		switch {
		case graphop.Of(n) != nil || declared[n]:
		case n.Op() == nil:
			return dt, fmt.Errorf("compile: input %s is used but declared neither as an input nor as a state", n.Name())
		default:
			return dt, fmt.Errorf("compile: operation %v does not belong to package graphop", n.Op())
		}
	}
	return dt, nil
}

// Order returns the roots and all nodes that they are computed from, children first. In a graph with boundaries, the
// sections follow one another; see graphop.Sections.
func (g Graph) Order() []*graphop.Node { return graphop.Sections(graphop.Order(g.Roots()...)) }
