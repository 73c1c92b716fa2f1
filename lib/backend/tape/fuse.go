package tape

import (
	"slices"

	"gorgonia.org/tensor"
	"vapo/lib/graphop"
	"vapo/lib/kernel"
)

// group is a set of nodes that one kernel computes row by row. Its members are pointwise operations over one space of
// elements, sums over the trailing axes of that space, and pointwise operations on those sums. A node is stored in
// memory only if a step outside the group reads it.
type group struct {
	space  space
	row    int                            // number of elements in a row; 0 if the group has no sums
	nodes  []*graphop.Node                // in order of computation
	frame  map[*graphop.Node]tensor.Shape // a member's shape with summed and broadcast axes at full size
	stored map[*graphop.Node]bool
	c      *compiler
}

// maxGroup is the largest number of members of a group. It keeps the registers of a group's kernel small enough for the
// caches.
const maxGroup = 128

// fuse adds n, a pointwise operation or a sum, to an existing group, or starts a new one. It reports false for a sum
// that cannot be in a group.
//
// A node may join a group if all inputs of the node are computed in that group or in earlier steps.
func (c *compiler) fuse(n *graphop.Node) bool {
	at := -1
	for _, ch := range graphop.Children(n) {
		at = max(at, c.producer(ch))
	}
	// at is the last step that computes an input of n. Later groups are candidates too, because they run after that
	// step.
	last := len(c.steps) - 1
	for s := at; s <= last; s = max(s+1, last-fuseWindow+1) {
		if s < 0 {
			continue
		}
		if g := c.steps[s].group; g != nil && len(g.nodes) < maxGroup && g.join(n, s) {
			return true
		}
	}
	full := n.Shape()
	if sum, ok := graphop.Of(n).Kind.(*graphop.SumOp); ok {
		full = graphop.Children(n)[0].Shape()
		if _, ok := summed(sum, full, full); !ok {
			return false
		}
	}
	g := &group{space: space(full), frame: map[*graphop.Node]tensor.Shape{}, stored: map[*graphop.Node]bool{}, c: c}
	c.steps = append(c.steps, step{group: g})
	return g.join(n, len(c.steps)-1)
}

// fuseWindow is the number of most recent steps that fuse tries, in addition to the last step that computes an input.
const fuseWindow = 4

// summed returns the row length that a sum of x needs: the product of frame's dimensions, starting at the first summed
// axis. It reports false if a later axis is larger than 1 and not summed, or if kernel.Fused does not support the row
// length.
func summed(sum *graphop.SumOp, x, frame tensor.Shape) (row int, ok bool) {
	first := slices.Min(sum.Axes)
	row = 1
	for d := first; d < len(x); d++ {
		if x[d] != 1 && !slices.Contains(sum.Axes, d) {
			return 0, false
		}
		row *= frame[d]
	}
	return row, row >= 2 && row <= kernel.MaxRow
}

// owner returns the node that computes the value of n: for a view, the node that the view shows; otherwise n itself.
func (c *compiler) owner(n *graphop.Node) *graphop.Node {
	if v, ok := c.of[n]; ok && c.values[v].node != nil {
		return c.values[v].node
	}
	return n
}

// join adds n to the group if n fits, and reports whether it did. at is the index of the group's step.
func (g *group) join(n *graphop.Node, at int) bool {
	frame := g.frameOf(n)
	if frame == nil {
		return false
	}
	to, ok := g.space.refine(frame)
	if !ok {
		return false
	}
	row := g.row
	children := graphop.Children(n)
	if sum, ok := graphop.Of(n).Kind.(*graphop.SumOp); ok {
		need, ok := summed(sum, children[0].Shape(), frame)
		if !ok {
			return false
		}
		row = max(row, need)
	}
	// For every member, each row must have its own values: no member may be broadcast from one row to another.
	if !to.everyRow(n.Shape(), frame, row) {
		return false
	}
	for _, m := range g.nodes {
		if row != g.row && !to.everyRow(m.Shape(), g.frame[m], row) {
			return false
		}
	}
	// n reads a member's elements in place, so the child as n sees it must have the member's strides.
	for _, ch := range children {
		m := g.c.owner(ch)
		if f, member := g.frame[m]; member && !slices.Equal(to.strides(ch.Shape(), frame), to.strides(m.Shape(), f)) {
			return false
		}
	}
	g.space, g.row = to, row
	g.add(n, frame, at)
	return true
}

// frameOf returns the frame of n in the group. If n has as many elements as the group's space, the frame is n's own
// shape. Otherwise it is the frame of a member that n is computed from. A sum has the frame of its input. frameOf
// returns nil if n does not fit the space.
func (g *group) frameOf(n *graphop.Node) tensor.Shape {
	s := n.Shape()
	children := graphop.Children(n)
	if _, ok := graphop.Of(n).Kind.(*graphop.SumOp); ok {
		if f, member := g.frame[children[0]]; member {
			return f
		}
		if s = children[0].Shape(); s.TotalSize() == g.space.size() {
			return s
		}
		return nil
	}
	if s.TotalSize() == g.space.size() {
		return s
	}
	for _, ch := range children {
		f, member := g.frame[ch]
		if !member || len(f) != len(s) {
			continue
		}
		for d := range s {
			if s[d] != 1 && s[d] != f[d] {
				return nil
			}
		}
		return f
	}
	return nil
}

func (g *group) add(n *graphop.Node, frame tensor.Shape, at int) {
	c := g.c
	for _, ch := range graphop.Children(n) {
		if _, member := g.frame[c.owner(ch)]; !member && !g.recompute(c.owner(ch)) {
			c.store(ch)
		}
	}
	g.nodes = append(g.nodes, n)
	g.frame[n] = frame
	c.of[n] = c.newValue(n, temporary, n.Shape().TotalSize())
	c.stepOf[n] = at
	if c.isRoot[n] {
		g.stored[n] = true
	}
}

// store marks n as stored if a group computes it.
func (c *compiler) store(n *graphop.Node) {
	owner := c.owner(n)
	if g := c.groupOf(owner); g != nil {
		g.stored[owner] = true
	}
}

// slots returns the values that the group reads and writes, in the order of the kernel's slots.
func (g *group) slots() (args, outs []int) {
	seen := map[int]bool{}
	for _, n := range g.nodes {
		for _, ch := range graphop.Children(n) {
			v := g.c.of[ch]
			if _, member := g.frame[g.c.owner(ch)]; !member && !seen[v] {
				seen[v] = true
				args = append(args, v)
			}
		}
	}
	for _, n := range g.nodes {
		if g.stored[n] {
			outs = append(outs, g.c.of[n])
		}
	}
	return args, outs
}
