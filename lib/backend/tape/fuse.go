package tape

import (
	"slices"

	"gorgonia.org/tensor"
	"vapo/lib/graphop"
	"vapo/lib/kernel"
)

// group is a set of nodes that run together, block by block: pointwise operations over one space of elements, and sums
// over the end of a row of that space with the pointwise operations on what they leave. A node goes to memory only if
// something outside of the group reads it.
type group struct {
	space  space
	row    int // elements of a row; 0 where nothing is summed
	nodes  []*graphop.Node
	frame  map[*graphop.Node]tensor.Shape // a member's shape before anything was summed or broadcast; see space
	stored map[*graphop.Node]bool
	c      *compiler
}

// maxGroup bounds the instructions of a group, so that its registers stay in the caches.
const maxGroup = 128

// fuse adds n, a pointwise operation or a sum, to the group of one of its inputs, or starts a new one. It reports
// false for a sum that no group can hold.
//
// Joining is allowed when every input of n is there before the group runs or is computed in it: then n cannot
// depend on anything that runs after the group, because steps are in order.
func (c *compiler) fuse(n *graphop.Node) bool {
	at := -1
	for _, ch := range graphop.Children(n) {
		at = max(at, c.producer(ch))
	}
	// A later group may take n too: everything that n needs is there by then.
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

// fuseWindow is how many steps back fuse looks for a group that does not compute any of n's inputs.
const fuseWindow = 4

// summed returns the length of the row that a sum of x needs: the elements of x's frame from the first summed axis on.
// Only the end of a row can be summed, and only one that kernel.Fused takes.
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

// owner is the node that computes what n, which may be a view, holds.
func (c *compiler) owner(n *graphop.Node) *graphop.Node {
	if v, ok := c.of[n]; ok && c.values[v].node != nil {
		return c.values[v].node
	}
	return n
}

// join adds n to the group, which is step at, if it fits.
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
	// Every member has a value in every row.
	if !to.everyRow(n.Shape(), frame, row) {
		return false
	}
	for _, m := range g.nodes {
		if row != g.row && !to.everyRow(m.Shape(), g.frame[m], row) {
			return false
		}
	}
	// A member is read in place: what reads it must mean the same elements.
	for _, ch := range children {
		m := g.c.owner(ch)
		if f, member := g.frame[m]; member && !slices.Equal(to.steps(ch.Shape(), frame), to.steps(m.Shape(), f)) {
			return false
		}
	}
	g.space, g.row = to, row
	g.add(n, frame, at)
	return true
}

// frameOf returns the shape that n's dimensions are meant in: its own where it has all elements of the group's space,
// else that of the member it is computed from; nil where n does not belong to the space.
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

// store asks for n to be written to memory by the group that computes it, if one does.
func (c *compiler) store(n *graphop.Node) {
	owner := c.owner(n)
	if g := c.groupOf(owner); g != nil {
		g.stored[owner] = true
	}
}

// slots returns the values that the group reads and writes, in the order of the program's slots.
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
