package tape

import (
	"fmt"
	"slices"

	"vapo/lib/graphop"
	"vapo/lib/kernel"
)

// registers numbers the registers of a group's program: one for every member, one for every way in which a value from
// outside is read.
type registers struct {
	g          *group
	args, outs []int
	of         map[*graphop.Node]int
	outside    map[string]int
}

func (g *group) registers() *registers {
	args, outs := g.slots()
	return &registers{g: g, args: args, outs: outs, of: map[*graphop.Node]int{}, outside: map[string]int{}}
}

// read returns the register of n's input ch. Where the register is new, make is called with its slot and steps.
func (r *registers) read(n, ch *graphop.Node, make func(slot int, steps []int) int) int {
	c := r.g.c
	if reg, member := r.of[c.owner(ch)]; member {
		return reg
	}
	v := c.of[ch]
	steps := r.g.space.steps(ch.Shape(), r.g.frame[n])
	if val := c.values[v]; val.kind == constant && val.size == 1 {
		clear(steps) // a repeated constant is stored once
	}
	key := fmt.Sprint(v, steps)
	reg, ok := r.outside[key]
	if !ok {
		reg = make(slices.Index(r.args, v), steps)
		r.outside[key] = reg
	}
	return reg
}

// slot returns where n is written to, or -1.
func (r *registers) slot(n *graphop.Node) int {
	if !r.g.stored[n] {
		return -1
	}
	return len(r.args) + slices.Index(r.outs, r.g.c.of[n])
}

// rowProgram translates a group with sums.
func (g *group) rowProgram() kernel.RowProgram {
	regs := g.registers()
	cut := g.space.rows(g.rowLength())
	p := kernel.RowProgram{Outer: slices.Clone(g.space[:cut]), Inner: slices.Clone(g.space[cut:])}
	operand := func(slot int, steps []int, output bool) int {
		p.Operands = append(p.Operands, kernel.RowOperand{Slot: slot, Outer: steps[:cut], Inner: steps[cut:], Output: output})
		return len(p.Operands) - 1
	}
	for _, n := range g.nodes {
		in := kernel.RowInstr{}
		switch k := graphop.Of(n).Kind.(type) {
		case *graphop.PointwiseOp:
			in.Instr = instruction(k)
		case *graphop.SumOp:
			in.Sum = true
		}
		for a, ch := range graphop.Children(n) {
			in.Args[a] = regs.read(n, ch, func(slot int, steps []int) int { return operand(slot, steps, false) })
		}
		slot := regs.slot(n)
		in.Dst = operand(slot, g.space.steps(n.Shape(), g.frame[n]), slot >= 0)
		regs.of[n] = in.Dst
		p.Instrs = append(p.Instrs, in)
	}
	return p
}

// rowLength is the length of a row that the group runs on: what its sums need, or several such rows where these are short.
func (g *group) rowLength() int {
	length := g.row
	for d := g.space.rows(length) - 1; d >= 0; d-- {
		n := length * g.space[d]
		if n > shortRow || g.space.size()/n < manyRows {
			break
		}
		length = n
	}
	return length
}

const (
	shortRow = 1024 // elements, below which a row's fixed costs show
	manyRows = 32   // to share out among the cores
)

// program translates a group without sums for the pointwise kernel. Registers of dead intermediates are used again.
func (g *group) program() kernel.Program {
	regs := g.registers()
	p := kernel.Program{Dims: slices.Clone([]int(g.space))}
	operand := func(slot int, steps []int, output bool) int {
		p.Operands = append(p.Operands, kernel.Operand{Slot: slot, Strides: steps, Output: output})
		return len(p.Operands) - 1
	}
	lastUse := map[*graphop.Node]int{}
	for i, n := range g.nodes {
		for _, ch := range graphop.Children(n) {
			lastUse[g.c.owner(ch)] = i
		}
	}
	var free []int
	for i, n := range g.nodes {
		k := graphop.Of(n).Kind.(*graphop.PointwiseOp)
		in := instruction(k)
		for a, ch := range graphop.Children(n) {
			in.Args[a] = regs.read(n, ch, func(slot int, steps []int) int { return operand(slot, steps, false) })
		}
		for _, ch := range graphop.Children(n) {
			m := g.c.owner(ch)
			if r, member := regs.of[m]; member && lastUse[m] == i && !g.stored[m] && !slices.Contains(free, r) {
				free = append(free, r)
			}
		}
		switch slot := regs.slot(n); {
		case slot >= 0:
			in.Dst = operand(slot, g.space.steps(n.Shape(), g.frame[n]), true)
		case len(free) > 0:
			in.Dst = free[len(free)-1]
			free = free[:len(free)-1]
		default:
			in.Dst = operand(-1, make([]int, len(g.space)), false)
		}
		regs.of[n] = in.Dst
		for a := in.Code.Arity(); a < len(in.Args); a++ {
			in.Args[a] = in.Args[0]
		}
		p.Instrs = append(p.Instrs, in)
	}
	mergeDims(&p)
	return p
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
