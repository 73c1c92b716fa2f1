package graph

import (
	"maps"
	"slices"
	"strings"

	"vapo/pipeline/internal/recipe"
)

// order sorts nodes so that each comes after the nodes that it needs. If that is impossible, it returns an error that
// shows a cycle.
func order(nodes []*Node) ([]*Node, error) {
	byName := make(map[string]*Node, len(nodes))
	for _, n := range nodes {
		byName[n.Name()] = n
	}
	var out []*Node
	placed := map[string]bool{}
	for len(out) < len(nodes) {
		i := slices.IndexFunc(nodes, func(n *Node) bool {
			return !placed[n.Name()] && !slices.ContainsFunc(n.Needs, func(s string) bool { return !placed[s] })
		})
		if i < 0 {
			return nil, cycle(nodes, byName, placed)
		}
		placed[nodes[i].Name()] = true
		out = append(out, nodes[i])
	}
	return out, nil
}

// cycle returns an error that shows a cycle. It follows needs among the steps that are not placed until a step repeats.
func cycle(nodes []*Node, byName map[string]*Node, placed map[string]bool) error {
	i := slices.IndexFunc(nodes, func(n *Node) bool { return !placed[n.Name()] })
	path := []string{nodes[i].Name()}
	for {
		n := byName[path[len(path)-1]]
		next := n.Needs[slices.IndexFunc(n.Needs, func(s string) bool { return !placed[s] })]
		if at := slices.Index(path, next); at >= 0 {
			loop := append(path[at:], next)
			slices.Reverse(loop)
			return recipe.Error(needPos(n, next), "a step can only use outputs of steps that do not depend on it",
				"steps form a cycle: %s", strings.Join(loop, " → "))
		}
		path = append(path, next)
	}
}

func needPos(n *Node, step string) recipe.Pos {
	for _, name := range slices.Sorted(maps.Keys(n.Sources)) {
		if n.Sources[name].Step == step {
			return n.Sources[name].Pos
		}
	}
	for _, term := range n.Step.When {
		if slices.Contains(term.Steps, step) {
			return term.Pos
		}
	}
	return n.Step.Pos
}
