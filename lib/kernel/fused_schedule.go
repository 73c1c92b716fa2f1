package kernel

import "fmt"

// phase is a pass over the row, block by block, followed by instructions on reduced values.
type phase struct{ blocks, reduced []op }

// op is an instruction or the expansion of an operand. Its loop and its operands are resolved.
type op struct {
	kind      opKind
	dst, a, b operand
	n         int // the number of reduced values that the op works on; 0 if it works on blocks

	// The loop in assembly. At most one of these is set, depending on kind.
	unary  func(dst, a *float32, n int)
	binary func(dst, a, b *float32, n int)
	scalar func(dst, a *float32, b float32, n int)

	c      operand
	instr  *Instr
	poly   *siluPoly
	reg    int // the register that a sum or an expansion reads
	run    int // elements per sum or per chunk
	sum    int // index of the running sum
	writes int // the register whose expansion an op on reduced values makes invalid
}

type opKind uint8

const (
	opUnary   opKind = iota // a loop in assembly with operand a
	opBinary                // a loop in assembly with operands a and b
	opScalar                // a loop in assembly with operand a and the single value b
	opGeneric               // a loop in Go
	opExpand                // repeats or gathers the values of reg for every element
	opSum                   // sums of blocks
	opSumRuns               // sums of reduced values
)

// operand tells an op where a register is stored. Within a block, the elements of the register are contiguous or all
// have the same value.
type operand struct {
	index  int  // into worker.data
	single bool // all elements of a block have the same value
	stride int  // elements from one block to the next
	shared int  // consecutive blocks that share a single value
}

// schedule sorts the instructions into phases, resolves their operands and assigns scratch memory.
func (f *Fused[T]) schedule() {
	instrs := f.prog.Instrs
	// For each register, full is the first phase whose pass over the row can read the register, and reduced is the first
	// phase whose instructions on reduced values can read it.
	full, reduced := make([]int, len(f.regs)), make([]int, len(f.regs))
	for i := range full {
		full[i] = 1
		f.regs[i].stored = f.prog.Operands[i].Slot >= 0
	}
	type instructions struct{ blocks, reduced []*Instr }
	phases := make([]instructions, 2) // phase 0 has no pass over the row
	for i := range instrs {
		in := &instrs[i]
		dst := &f.regs[in.Dst]
		f.check(in)
		pass, p := dst.full() || in.Sum && f.regs[in.Args[0]].full(), 0
		for _, a := range in.args() {
			if pass {
				p = max(p, full[a])
			} else {
				p = max(p, reduced[a])
			}
		}
		for _, a := range in.args() {
			f.regs[a].lastPhase = max(f.regs[a].lastPhase, p)
		}
		if p == len(phases) {
			phases = append(phases, instructions{})
		}
		if !pass {
			phases[p].reduced = append(phases[p].reduced, in)
		} else {
			phases[p].blocks = append(phases[p].blocks, in)
		}
		full[in.Dst], reduced[in.Dst] = p, p
		if !pass || in.Sum {
			full[in.Dst], dst.stored = p+1, true
		}
		dst.firstPhase, dst.lastPhase = p, p
	}
	for i := range f.regs {
		g := &f.regs[i]
		g.stored = g.stored || g.firstPhase != g.lastPhase
	}
	f.buffers = make([]buffer, len(f.regs))
	for p := range phases {
		f.phases = append(f.phases, phase{})
		for _, in := range phases[p].blocks {
			f.resolve(&f.phases[p].blocks, in, 0)
		}
		for _, in := range phases[p].reduced {
			f.resolve(&f.phases[p].reduced, in, f.regs[in.Dst].kept)
		}
	}
	f.allocate()
}

// check panics if an instruction is malformed in a way that would corrupt results.
func (f *Fused[T]) check(in *Instr) {
	if in.Code >= codeCount {
		panic(fmt.Sprintf("kernel: unknown pointwise code %d", in.Code))
	}
	if f.regs[in.Dst].gather != nil {
		panic("kernel: program computes a register that is not in row-major order")
	}
	if !in.Sum {
		return
	}
	arg := in.Args[0]
	for d, s := range f.prog.Operands[in.Dst].Strides {
		if f.regs[arg].gather != nil || s != 0 && f.prog.Operands[arg].Strides[d] == 0 {
			panic("kernel: program sums a register that is broadcast or not in row-major order")
		}
	}
}

// resolve appends the op for an instruction to ops. If the instruction cannot read an operand directly, resolve first
// appends an op that expands the operand. The instruction works on n reduced values, or on blocks if n is 0.
func (f *Fused[T]) resolve(ops *[]op, in *Instr, n int) {
	o := op{instr: in, n: n, reg: in.Args[0], writes: in.Dst}
	o.dst, _ = f.operand(in.Dst, n)
	if in.Sum {
		o.a, _ = f.operand(o.reg, n)
		o.kind, o.run = opSumRuns, f.regs[in.Dst].repeat/f.regs[o.reg].repeat
		if n == 0 {
			o.kind, o.sum = opSum, f.sums
			f.sums++
		}
		*ops = append(*ops, o)
		return
	}
	var args [3]operand
	ok := [3]bool{true, true, true}
	for k, a := range in.args() {
		args[k], ok[k] = f.operand(a, n)
	}
	scalar := args[0].single != args[1].single && takesScalar(in.Code)
	for k, a := range in.args() {
		if !ok[k] || args[k].single && !scalar {
			args[k] = f.expand(ops, a, n, f.regs[in.Dst].repeat)
		}
	}
	for k := in.Code.Arity(); k < len(args); k++ {
		args[k] = args[0]
	}
	o.a, o.b, o.c = args[0], args[1], args[2]
	if in.Code == SiLU {
		poly := siluPolynomials(int(in.P))
		o.poly = &poly
	}
	l := newLoops[T](in)
	switch o.kind = opGeneric; {
	case scalar && o.a.single:
		if o.scalar = l.scalarFirst; o.scalar != nil {
			o.kind, o.a, o.b = opScalar, o.b, o.a
		}
	case scalar:
		if o.scalar = l.scalarLast; o.scalar != nil {
			o.kind = opScalar
		}
	case l.one != nil:
		o.kind, o.unary = opUnary, l.one
	case l.two != nil:
		o.kind, o.binary = opBinary, l.two
	}
	*ops = append(*ops, o)
}

// takesScalar reports whether an instruction has loops in which one operand is a single value.
func takesScalar(code Code) bool { return code == Add || code == Sub || code == Mul || code == Div }

// operand locates a register for an instruction on n reduced values, or on blocks if n is 0. ok is false if the
// register has to be expanded.
func (f *Fused[T]) operand(reg, n int) (o operand, ok bool) {
	g := &f.regs[reg]
	o = operand{index: reg, shared: 1}
	switch {
	case g.gather != nil:
		return o, false
	case n > 0 && g.kept == n:
	case n == 0 && g.full():
		if g.stored {
			o.stride = f.blockLen
		}
	case g.kept == 1:
		o.single = true
	case n == 0 && g.repeat%f.blockLen == 0:
		o.single, o.shared, o.stride = true, g.repeat/f.blockLen, 1
	default:
		return o, false
	}
	return o, true
}

// expand reserves memory for the expansion of a register and appends the op that writes the expansion. On reduced
// values, the expansion has one value for every run of unit elements of the row. On blocks (n is 0), it has one value
// for every element.
func (f *Fused[T]) expand(ops *[]op, reg, n, unit int) operand {
	g := &f.regs[reg]
	if g.expansion == 0 {
		g.expansion = len(f.buffers)
		f.buffers = append(f.buffers, buffer{})
	}
	out := operand{index: g.expansion, shared: 1}
	if n == 0 {
		unit = 1
		for k := range *ops {
			if o := &(*ops)[k]; o.kind == opExpand && o.reg == reg {
				return out
			}
		}
	}
	o := op{kind: opExpand, dst: out, n: n, reg: reg, writes: reg, run: g.chunk / unit}
	o.a, _ = f.operand(reg, n)
	*ops = append(*ops, o)
	b := &f.buffers[g.expansion]
	b.length = max(b.length, n, f.blockLen)
	return out
}

// allocate assigns scratch memory. Expansions and registers that keep a whole row have memory of their own. All phases
// share the memory for the other registers. Within a phase, a register may take over the memory of a register that the
// phase does not read again.
func (f *Fused[T]) allocate() {
	take := func(n int) buffer {
		b := buffer{f.scratch, n}
		f.scratch += (n + 15) &^ 15
		return b
	}
	for i := range f.buffers {
		switch {
		case i >= len(f.regs):
			f.buffers[i] = take(f.buffers[i].length)
		case f.prog.Operands[i].Slot < 0 && f.regs[i].stored:
			f.buffers[i] = take(f.regs[i].kept)
		}
	}
	start, end := f.scratch, f.scratch
	for p := range f.phases {
		f.scratch = start
		last := map[int]*Instr{}
		for k := range f.phases[p].blocks {
			if in := f.phases[p].blocks[k].instr; in != nil {
				for _, a := range in.args() {
					last[a] = in
				}
			}
		}
		var free []buffer
		for k := range f.phases[p].blocks {
			in := f.phases[p].blocks[k].instr
			if in == nil {
				continue
			}
			for _, a := range in.args() {
				if last[a] == in && !f.regs[a].stored {
					free = append(free, f.buffers[a])
					delete(last, a)
				}
			}
			switch n := len(free); {
			case f.regs[in.Dst].stored:
			case n > 0:
				f.buffers[in.Dst], free = free[n-1], free[:n-1]
			default:
				f.buffers[in.Dst] = take(f.blockLen)
			}
		}
		end = max(end, f.scratch)
	}
	f.scratch = end
}
