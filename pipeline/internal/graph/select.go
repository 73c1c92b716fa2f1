package graph

import (
	"slices"

	"vapo/lib/failure"
	"vapo/pipeline/internal/recipe"
)

// selected returns the targets and all nodes that they need, directly or through others, in the order of nodes. Without
// targets, it returns all nodes.
func selected(nodes []*Node, targets []string) ([]*Node, error) {
	if len(targets) == 0 {
		return nodes, nil
	}
	wanted := map[string]bool{}
	for _, name := range targets {
		if !slices.ContainsFunc(nodes, func(n *Node) bool { return n.Name() == name }) {
			all := make([]string, len(nodes))
			for i, n := range nodes {
				all[i] = n.Name()
			}
			return nil, failure.New(failure.Usage, recipe.Suggest(name, all, "the steps are"), "the recipe has no step %s", name)
		}
		wanted[name] = true
	}
	var out []*Node
	for _, n := range slices.Backward(nodes) { // each node comes after the nodes that it needs
		if wanted[n.Name()] {
			out = append(out, n)
			for _, need := range n.Needs {
				wanted[need] = true
			}
		}
	}
	slices.Reverse(out)
	return out, nil
}

// inFileOrder returns the nodes in the order of their steps in the recipe.
func inFileOrder(r *recipe.Recipe, nodes []*Node) []*Node {
	return slices.SortedFunc(slices.Values(nodes), func(a, b *Node) int {
		return slices.Index(r.Steps, a.Step) - slices.Index(r.Steps, b.Step)
	})
}
