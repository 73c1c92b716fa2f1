package tape

import (
	"slices"

	"gorgonia.org/tensor"
	"vapo/lib/graphop"
	"vapo/lib/kernel"
)

// group is a set of pointwise nodes of one shape that run together, block by block. A node goes to memory only if
// something outside of the group reads it.
type group struct {
	shape  tensor.Shape
	nodes  []*graphop.Node
	member map[*graphop.Node]bool
	stored map[*graphop.Node]bool
	c      *compiler
}

// maxGroup bounds the instructions of a group, so that its registers stay in the caches.
const maxGroup = 96

// fuse adds n to the group of one of its inputs, or starts a new one.
//
// Joining is allowed when every input of n is there before the group runs or is computed in it: then n cannot
// depend on anything that runs after the group, because steps are in order.
func (c *compiler) fuse(n *graphop.Node) {
	at := -1
	for _, ch := range graphop.Children(n) {
		at = max(at, c.producer(ch))
	}
	if at >= 0 {
		if g := c.steps[at].group; g != nil && graphop.SameShape(g.shape, n.Shape()) && len(g.nodes) < maxGroup && g.readable(n) {
			g.add(n, at)
			return
		}
	}
	// A later group of the same shape may take n too: everything that n needs is there by then.
	for s := len(c.steps) - 1; s > at && s >= len(c.steps)-fuseWindow; s-- {
		if g := c.steps[s].group; g != nil && graphop.SameShape(g.shape, n.Shape()) && len(g.nodes) < maxGroup && g.readable(n) {
			g.add(n, s)
			return
		}
	}
	g := &group{shape: n.Shape(), member: map[*graphop.Node]bool{}, stored: map[*graphop.Node]bool{}, c: c}
	c.steps = append(c.steps, step{group: g})
	g.add(n, len(c.steps)-1)
}

// fuseWindow is how many steps back fuse looks for a group that does not compute any of n's inputs.
const fuseWindow = 4

// readable reports whether all of n's inputs can be read inside the group: a member is read in place, so a view of
// a member (which needs it in memory) and a member that broadcasts are not.
func (g *group) readable(n *graphop.Node) bool {
	for _, ch := range graphop.Children(n) {
		if g.member[ch] {
			if !graphop.SameShape(ch.Shape(), g.shape) {
				return false
			}
			continue
		}
		if v, ok := g.c.of[ch]; ok {
			if owner := g.c.values[v].node; owner != nil && g.member[owner] {
				return false // a view of a member
			}
		}
	}
	return true
}

func (g *group) add(n *graphop.Node, at int) {
	c := g.c
	for _, ch := range graphop.Children(n) {
		if !g.member[ch] {
			c.store(ch)
		}
	}
	g.nodes = append(g.nodes, n)
	g.member[n] = true
	c.of[n] = c.newValue(n, temporary, n.Shape().TotalSize())
	c.stepOf[n] = at
	if c.isRoot[n] {
		g.stored[n] = true
	}
}

// store asks for n to be written to memory by the group that computes it, if one does.
func (c *compiler) store(n *graphop.Node) {
	owner := c.values[c.of[n]].node
	if owner == nil {
		return
	}
	if s, ok := c.stepOf[owner]; ok {
		if g := c.steps[s].group; g != nil && g.member[owner] {
			g.stored[owner] = true
		}
	}
}

// slots returns the values that the group reads and writes, in the order of the program's slots.
func (g *group) slots() (args, outs []int) {
	seen := map[int]bool{}
	for _, n := range g.nodes {
		for _, ch := range graphop.Children(n) {
			if v := g.c.of[ch]; !g.member[ch] && !seen[v] {
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

// program translates the group for the pointwise kernel. Registers of dead intermediates are used again.
func (g *group) program() kernel.Program {
	args, outs := g.slots()
	prog := kernel.Program{}
	type view struct {
		value int
		shape string
	}
	reg := map[*graphop.Node]int{}
	ext := map[view]int{}
	external := func(ch *graphop.Node) int {
		v := view{g.c.of[ch], ""}
		strides := graphop.Strides(ch.Shape(), g.shape)
		if val := g.c.values[v.value]; val.kind == constant && val.size == 1 {
			clear(strides) // a repeated constant is stored once
		}
		for _, s := range strides {
			v.shape += string(rune('a' + min(s, 1)))
		}
		if r, ok := ext[v]; ok {
			return r
		}
		r := len(prog.Operands)
		prog.Operands = append(prog.Operands, kernel.Operand{Slot: slices.Index(args, v.value), Strides: strides})
		ext[v] = r
		return r
	}
	lastUse := map[*graphop.Node]int{}
	for i, n := range g.nodes {
		for _, ch := range graphop.Children(n) {
			if g.member[ch] {
				lastUse[ch] = i
			}
		}
	}
	var free []int
	for i, n := range g.nodes {
		k := graphop.Of(n).Kind.(*graphop.Pointwise)
		in := kernel.Instr{Code: k.Code, P: k.P, Q: k.Q}
		for a, ch := range graphop.Children(n) {
			if g.member[ch] {
				in.Args[a] = reg[ch]
			} else {
				in.Args[a] = external(ch)
			}
		}
		for _, ch := range graphop.Children(n) {
			if g.member[ch] && lastUse[ch] == i && !g.stored[ch] {
				if r := reg[ch]; !slices.Contains(free, r) {
					free = append(free, r)
				}
			}
		}
		switch {
		case g.stored[n]:
			reg[n] = len(prog.Operands)
			prog.Operands = append(prog.Operands, kernel.Operand{
				Slot: len(args) + slices.Index(outs, g.c.of[n]), Strides: graphop.Strides(g.shape, g.shape), Output: true,
			})
		case len(free) > 0:
			reg[n] = free[len(free)-1]
			free = free[:len(free)-1]
		default:
			reg[n] = len(prog.Operands)
			prog.Operands = append(prog.Operands, kernel.Operand{Slot: -1, Strides: make([]int, len(g.shape))})
		}
		in.Dst = reg[n]
		for a := k.Code.Arity(); a < len(in.Args); a++ {
			in.Args[a] = in.Args[0]
		}
		prog.Instrs = append(prog.Instrs, in)
	}
	prog.Dims = slices.Clone([]int(g.shape))
	mergeDims(&prog)
	return prog
}

// mergeDims joins neighbouring dimensions that every operand walks through in one stride.
func mergeDims(p *kernel.Program) {
	joined := func(d int) bool {
		for _, o := range p.Operands {
			if o.Slot >= 0 && o.Strides[d] != o.Strides[d+1]*p.Dims[d+1] {
				return false
			}
		}
		return true
	}
	drop := func(d int) {
		p.Dims = slices.Delete(p.Dims, d, d+1)
		for i := range p.Operands {
			p.Operands[i].Strides = slices.Delete(p.Operands[i].Strides, d, d+1)
		}
	}
	for d := len(p.Dims) - 1; d >= 0; d-- {
		if p.Dims[d] == 1 && len(p.Dims) > 1 {
			drop(d)
		}
	}
	for d := len(p.Dims) - 2; d >= 0; d-- {
		if joined(d) {
			n := p.Dims[d]
			p.Dims[d+1] *= n
			drop(d)
		}
	}
}
