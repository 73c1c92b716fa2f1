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

// maxNodes is the largest number of nodes of a graph with shards; more are usually a mistake.
const maxNodes = 10000

// withShards inserts the shards of each node before the node.
func withShards(nodes []*Node) (all []*Node, err error) {
	for _, n := range nodes {
		shards, err := n.shards()
		if err != nil {
			return nil, err
		}
		if all = append(append(all, shards...), n); len(all) > maxNodes {
			return nil, recipe.Error(n.Step.Pos, "use fewer shards", "the steps and their shards are more than %d", maxNodes)
		}
	}
	return all, nil
}

// IsShard reports whether n is one worker's share of a step.
func (n *Node) IsShard() bool { return n.Shard.N > 0 }

// Whole returns the node of the whole step if n is a shard, and n otherwise.
func (n *Node) Whole() *Node {
	if n.IsShard() {
		return n.whole
	}
	return n
}

// WithoutShards returns the graph without the nodes of shards, except the one with the given name.
func (g *Graph) WithoutShards(except string) *Graph {
	isShard := map[string]bool{}
	for _, n := range g.Nodes {
		isShard[n.Name()] = n.IsShard() && n.Name() != except
	}
	out := &Graph{Recipe: g.Recipe}
	for _, n := range g.Nodes {
		if !isShard[n.Name()] {
			one := *n
			one.Needs = slices.DeleteFunc(slices.Clone(n.Needs), func(need string) bool { return isShard[need] })
			out.Nodes = append(out.Nodes, &one)
		}
	}
	return out
}
