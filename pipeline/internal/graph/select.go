package graph

import (
	"cmp"
	"slices"

	"vapo/lib/artifact"
	"vapo/lib/failure"
	"vapo/pipeline/internal/condition"
	"vapo/pipeline/internal/recipe"
)

// selected returns the targets and all nodes that they need, directly or through others, in the order of nodes. Without
// targets, it returns all nodes. A target names one instance, or a step and with it all instances of the step.
func selected(nodes []*Node, targets []string) ([]*Node, error) {
	if len(targets) == 0 {
		return nodes, nil
	}
	wanted := map[string]bool{}
	for _, name := range targets {
		found := false
		var all []string
		for _, n := range nodes {
			if n.Name() == name || n.Step.Base == name {
				wanted[n.Name()], found = true, true
			}
			all = append(all, n.Name())
		}
		if !found {
			return nil, failure.New(failure.Usage, recipe.Suggest(name, all, "the steps are"), "the recipe has no step %s", name)
		}
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

// neededFor returns the nodes that concern a target, in the order of nodes, before their stages are known. needed has
// the target and all nodes that it needs, directly or through others; concerned also has those whose parameters their
// conditions compare. Without the target, both are nodes.
func neededFor(nodes []*Node, target string) (concerned, needed []*Node) {
	wanted, mentioned := map[string]bool{}, map[string]bool{}
	for _, n := range nodes {
		if n.Name() == target || n.Step.Base == target || n.Step.HasShard(target) {
			wanted[n.Name()] = true
		}
	}
	if len(wanted) == 0 {
		return nodes, nodes
	}
	for before := 0; len(wanted) > before; { // until no node needs another one
		before = len(wanted)
		for _, n := range nodes {
			if !wanted[n.Name()] {
				continue
			}
			for _, in := range n.Step.Inputs {
				if ref, err := artifact.ParseReference(in.From); err == nil { // connect reports an error
					wanted[cmp.Or(ref.Step, ref.Path)] = true
				}
			}
			for _, term := range n.Step.When {
				for _, name := range term.Steps {
					if mentioned[name] = true; term.Name == condition.Value {
						wanted[name] = true
					}
				}
			}
		}
	}
	for _, n := range nodes {
		if wanted[n.Name()] {
			needed = append(needed, n)
		}
		if wanted[n.Name()] || mentioned[n.Name()] {
			concerned = append(concerned, n)
		}
	}
	return concerned, needed
}

// withMentions returns the given nodes, the nodes whose values their conditions compare, and the whole steps of shards.
func withMentions(nodes []*Node) []*Node {
	out := slices.Clone(nodes)
	for _, n := range nodes {
		for _, of := range n.Mentions {
			out = append(out, of)
		}
		if n.IsShard() {
			out = append(out, n.whole)
		}
	}
	return out
}

// inFileOrder returns the given nodes without duplicates, in the order of the file. all holds every node in that order.
func inFileOrder(all, nodes []*Node) []*Node {
	return slices.DeleteFunc(slices.Clone(all), func(n *Node) bool { return !slices.Contains(nodes, n) })
}
