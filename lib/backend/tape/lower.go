package tape

import (
	"fmt"
	"slices"

	"vapo/lib/graphop"
	"vapo/lib/kernel"
)

// program translates the group to a kernel program. Every member has one register. A value from outside the group has
// one register for each set of strides with which members read it.
func (g *group) program() kernel.Program {
	c := g.c
	args, outs := g.slots()
	p := kernel.Program{Dims: slices.Clone([]int(g.space))}
	operand := func(slot int, strides []int) int {
		p.Operands = append(p.Operands, kernel.Operand{Slot: slot, Strides: strides})
		return len(p.Operands) - 1
	}
	members, outside := map[*graphop.Node]int{}, map[string]int{}
	read := func(n, ch *graphop.Node) int {
		if reg, member := members[c.owner(ch)]; member {
			return reg
		}
		v := c.of[ch]
		strides := g.space.strides(ch.Shape(), g.frame[n])
		if val := c.values[v]; val.kind == constant && val.size == 1 {
			clear(strides) // a repeated constant has one element
		}
		key := fmt.Sprint(v, strides)
		reg, ok := outside[key]
		if !ok {
			reg = operand(slices.Index(args, v), strides)
			outside[key] = reg
		}
		return reg
	}
	for _, n := range g.nodes {
		in := kernel.Instr{}
		switch k := graphop.Of(n).Kind.(type) {
		case *graphop.PointwiseOp:
			in = instruction(k)
		case *graphop.SumOp:
			in.Sum = true
		}
		for a, ch := range graphop.Children(n) {
			in.Args[a] = read(n, ch)
		}
		slot := -1
		if g.stored[n] {
			slot = len(args) + slices.Index(outs, c.of[n])
		}
		in.Dst = operand(slot, g.space.strides(n.Shape(), g.frame[n]))
		members[n] = in.Dst
		p.Instrs = append(p.Instrs, in)
	}
	return p
}
