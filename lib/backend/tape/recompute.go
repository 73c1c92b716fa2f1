package tape

import (
	"slices"

	"gorgonia.org/tensor"
	"vapo/lib/graphop"
	"vapo/lib/kernel"
)

// Memory is slower than arithmetic. If a few pointwise operations on values in memory suffice, a group therefore
// recomputes a value of another group instead of reading it. A network then stores only the outputs of its convolutions
// and a few values for each row. Recomputed values have the same bits.

// Costs are in pointwise operations on one element.
const (
	storeCost = 12 // writing a value and reading it back
	readCost  = 4  // reading a value that the group does not read yet
)

func cost(code kernel.Code) int {
	switch code {
	case kernel.Exp, kernel.Sigmoid:
		return 5
	case kernel.Div, kernel.Sqrt:
		return 2
	case kernel.Log, kernel.Sin, kernel.Cos:
		return storeCost
	}
	return 1
}

// copied is a set of nodes of other groups that a group may recompute.
type copied struct {
	nodes  []*graphop.Node // inputs first
	frame  map[*graphop.Node]tensor.Shape
	leaves []*graphop.Node // the nodes that the copied nodes read from memory
	cost   int
}

// recompute adds the computation of n to the group if another group computes n and if a second computation is cheaper
// than storing n and reading it back. It reports whether it did so.
func (g *group) recompute(n *graphop.Node) bool {
	p := copied{frame: map[*graphop.Node]tensor.Shape{}}
	if !g.copy(&p, n) || p.cost > storeCost || len(g.nodes)+len(p.nodes) >= maxGroup {
		return false
	}
	to := g.space
	for _, m := range p.nodes {
		var ok bool
		if to, ok = to.refine(p.frame[m]); !ok {
			return false
		}
	}
	// As in join, nodes that read each other in place must have the same strides.
	for _, m := range p.nodes {
		for _, ch := range graphop.Children(m) {
			o := g.c.owner(ch)
			f, inside := p.frame[o]
			if !inside {
				f, inside = g.frame[o]
			}
			if inside && !slices.Equal(to.strides(ch.Shape(), p.frame[m]), to.strides(o.Shape(), f)) {
				return false
			}
		}
	}
	g.space = to
	for _, m := range p.nodes {
		g.nodes = append(g.nodes, m)
		g.frame[m] = p.frame[m]
	}
	for _, leaf := range p.leaves {
		g.c.store(leaf)
	}
	return true
}

// copy adds to p the nodes that recompute n. It reports false if n has to be read from memory.
func (g *group) copy(p *copied, n *graphop.Node) bool {
	m := g.c.owner(n)
	if _, member := g.frame[m]; member || p.frame[m] != nil {
		return true
	}
	from := g.c.groupOf(m)
	if from == nil || from.stored[m] || m.Shape().TotalSize() != g.space.size() {
		return false
	}
	k, ok := graphop.Of(m).Kind.(*graphop.PointwiseOp)
	if !ok {
		return false
	}
	if p.cost += cost(k.Code); p.cost > storeCost {
		return false
	}
	for _, ch := range graphop.Children(m) {
		if !g.copy(p, ch) {
			if p.cost > storeCost {
				return false
			}
			p.leaf(g, ch)
		}
	}
	p.nodes = append(p.nodes, m)
	p.frame[m] = from.frame[m]
	return true
}

// leaf records that n is read from memory.
func (p *copied) leaf(g *group, n *graphop.Node) {
	if slices.Contains(p.leaves, n) {
		return
	}
	p.leaves = append(p.leaves, n)
	if n.Shape().TotalSize() == g.space.size() && !g.reads(n) {
		p.cost += readCost
	}
}

// reads reports whether the group reads n from memory.
func (g *group) reads(n *graphop.Node) bool {
	v := g.c.of[n]
	for _, m := range g.nodes {
		for _, ch := range graphop.Children(m) {
			if g.c.of[ch] == v {
				return true
			}
		}
	}
	return false
}

// groupOf returns the group whose step computes n for the first time, or nil if no group does.
func (c *compiler) groupOf(n *graphop.Node) *group {
	s, ok := c.stepOf[n]
	if !ok || s < 0 || c.steps[s].group == nil {
		return nil
	}
	if _, member := c.steps[s].group.frame[n]; !member {
		return nil
	}
	return c.steps[s].group
}

// drop removes the nodes that no other member and no other step reads.
func (g *group) drop() {
	needed := map[*graphop.Node]bool{}
	for i := len(g.nodes) - 1; i >= 0; i-- {
		n := g.nodes[i]
		if !g.stored[n] && !needed[n] {
			delete(g.frame, n)
			continue
		}
		needed[n] = true
		for _, ch := range graphop.Children(n) {
			needed[g.c.owner(ch)] = true
		}
	}
	g.nodes = slices.DeleteFunc(g.nodes, func(n *graphop.Node) bool { return !needed[n] })
}
