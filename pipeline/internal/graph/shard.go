package graph

import (
	"slices"

	"vapo/lib/contract"
	"vapo/pipeline/internal/recipe"
)

// A step with shards has several nodes: one for each shard, and one for the whole step, which needs all shards. The
// nodes have the same stage, parameters and inputs, and hence the same key. Only the node of the whole step has a
// result. The result is the one that the step has without shards, so the cache need not know about shards.

// shards returns the nodes of a step's shards, and makes the node of the whole step need them.
func (n *Node) shards() ([]*Node, error) {
	count := n.Step.Shards
	if count == 0 {
		return nil, nil
	}
	if !n.Stage.Shards {
		return nil, recipe.Error(n.Step.Pos, "remove shards; stages such as sample and eval can share their work",
			"step %s: stage %s cannot share its work among shards", n.Name(), n.Stage.Stage)
	}
	list := make([]*Node, count)
	for i := range list {
		shard, step := *n, *n.Step
		step.Name = recipe.ShardName(n.Name(), i+1)
		shard.Step, shard.Shard = &step, contract.Shard{I: i + 1, N: count}
		shard.whole = n
		list[i] = &shard
	}
	n.Needs = slices.Clone(n.Needs) // the shards need what the step needed
	for _, s := range list {
		n.Needs = append(n.Needs, s.Name())
	}
	return list, nil
}

// withShards inserts the shards of each node before the node.
func withShards(nodes []*Node) (all []*Node, err error) {
	for _, n := range nodes {
		shards, err := n.shards()
		if err != nil {
			return nil, err
		}
		all = append(append(all, shards...), n)
	}
	return all, nil
}

// Whole returns the node of the whole step if n is a shard, and n otherwise.
func (n *Node) Whole() *Node {
	if n.whole != nil {
		return n.whole
	}
	return n
}

// WithoutShards returns the graph without the nodes of shards.
func (g *Graph) WithoutShards() *Graph {
	isShard := func(name string) bool {
		n, ok := g.Node(name)
		return ok && n.whole != nil
	}
	out := &Graph{Recipe: g.Recipe}
	for _, n := range g.Nodes {
		if n.whole == nil {
			one := *n
			one.Needs = slices.DeleteFunc(slices.Clone(n.Needs), isShard)
			out.Nodes = append(out.Nodes, &one)
		}
	}
	return out
}
