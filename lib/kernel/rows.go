package kernel

import "fmt"

// RowProgram is a chain of pointwise operations and of sums over the end of a row, run row by row: a row stays in the
// caches from the first read to the last write, so a normalisation costs one pass over memory instead of one for each
// of its operations.
//
// The elements of a row have the shape Inner. A register holds either the whole row or what a sum leaves of it: its
// leading inner dimensions. Each register is written once. Sums run in the order of Sum, so fusing them changes no bit.
type RowProgram struct {
	Outer    []int // the rows, outermost dimension first
	Inner    []int // a row
	Operands []RowOperand
	Instrs   []RowInstr
}

// RowOperand says how a register is bound to memory.
type RowOperand struct {
	// Slot is the index into the slices given to Run, or -1 for a register that lives in scratch memory only.
	Slot int
	// Outer and Inner are the steps in elements along the dimensions of the program, 0 where the operand is broadcast.
	// A scratch register has only Inner, row-major over the dimensions that it keeps.
	Outer, Inner []int
	// Output marks a register that is written to its slot; it is contiguous within a row.
	Output bool
}

// RowInstr is a pointwise instruction, or the sum of Args[0] over the trailing inner dimensions that Dst lacks.
type RowInstr struct {
	Instr
	Sum bool
}

func (in *RowInstr) args() []int {
	if in.Sum {
		return in.Args[:1]
	}
	return in.Args[:in.Code.Arity()]
}

// MaxRow is the longest row in elements: with it a row of every live register stays in the second-level cache, and
// Sum adds rows of that length up in one go.
const MaxRow = 2 * sumChunk

// Rows executes a RowProgram on T.
type Rows[T Float] struct {
	prog     RowProgram
	rows     int
	row      int // elements
	perPiece int // rows
	step     int // elements a block
	regs     []rowRegister
	bound    []int // the registers that have a slot
	phases   []rowPhase
	polys    []siluPoly
	loops    []loops
	directs  []*direct // nil for an instruction that needs looking up
	workers  []*rowState[T]
	slots    [][]T
	body     func(worker, piece int)
}

// rowRegister is what is known of a register before any row is seen.
type rowRegister struct {
	kept   int     // values that it has a row
	repeat int     // consecutive elements of the row that share a value
	table  []int32 // the place of every element, where the values are not in the order of the row
	lives  bool    // a scratch register that is read in a later phase than the one that computes it
	offset int     // of its scratch memory
	spread int     // of a block of scratch memory in which values are repeated
}

func (g *rowRegister) whole() bool { return g.repeat == 1 && g.table == nil }

// rowPhase is a pass over the row, block by block, and then what follows from its sums.
type rowPhase struct{ big, small []int }

// NewRows prepares prog, which must be well-formed (it comes from a compiler, not from a user).
func NewRows[T Float](prog RowProgram) *Rows[T] {
	r := &Rows[T]{prog: prog, rows: 1, row: 1, polys: make([]siluPoly, len(prog.Instrs))}
	for _, d := range prog.Outer {
		r.rows *= d
	}
	for _, d := range prog.Inner {
		r.row *= d
	}
	if r.row < 2 || r.row > MaxRow {
		panic(fmt.Sprintf("kernel: row program on rows of %d elements, expected 2 to %d", r.row, MaxRow))
	}
	for i, in := range prog.Instrs {
		if in.Code == SiLU && !in.Sum {
			r.polys[i] = siluPolynomials(int(in.P))
		}
		r.loops = append(r.loops, newLoops[T](&in.Instr))
	}
	r.regs = make([]rowRegister, len(prog.Operands))
	for i := range prog.Operands {
		r.regs[i] = r.register(&prog.Operands[i])
		if prog.Operands[i].Slot >= 0 {
			r.bound = append(r.bound, i)
		}
	}
	r.step = r.blockStep()
	length := r.schedule()
	for i := range prog.Instrs {
		r.directs = append(r.directs, r.newDirect(&prog.Instrs[i]))
	}
	r.workers = make([]*rowState[T], Workers())
	for i := range r.workers {
		r.workers[i] = newRowState[T](len(r.regs), len(prog.Instrs), len(prog.Outer), length)
	}
	r.perPiece = max(1, grain/r.row)
	r.body = r.piece
	return r
}

// register finds out how the values of an operand lie along the row.
func (r *Rows[T]) register(o *RowOperand) rowRegister {
	reg := rowRegister{kept: 1}
	for d, n := range r.prog.Inner {
		if o.Inner[d] != 0 {
			reg.kept *= n
		}
	}
	reg.repeat = r.row / reg.kept
	table := make([]int32, r.row)
	inOrder := true
	index := make([]int, len(r.prog.Inner))
	place := 0
	for e := range table {
		table[e] = int32(place)
		inOrder = inOrder && place == e/reg.repeat
		for d := len(index) - 1; d >= 0; d-- {
			place += o.Inner[d]
			if index[d]++; index[d] < r.prog.Inner[d] {
				break
			}
			place -= index[d] * o.Inner[d]
			index[d] = 0
		}
	}
	if !inOrder {
		if o.Slot < 0 || o.Output {
			panic("kernel: row program computes a register that is not in the order of the row")
		}
		reg.table = table
	}
	return reg
}

// blockStep chooses blocks that end where long runs of repeated values end, so that such a value is one number within
// a block.
func (r *Rows[T]) blockStep() int {
	run := r.row
	for _, g := range r.regs {
		if g.table == nil && g.repeat > 1 {
			run = min(run, g.repeat)
		}
	}
	if run >= 256 {
		blocks := (run + blockLen - 1) / blockLen
		for run%blocks != 0 {
			blocks++
		}
		if run/blocks >= 128 {
			return run / blocks
		}
	}
	return min(r.row, blockLen)
}

// schedule sorts the instructions into phases and places their registers in the scratch memory, of which it returns
// the length. A whole-row register that is read in a later phase than its own keeps its row, others a block.
func (r *Rows[T]) schedule() int {
	n := len(r.regs)
	bigFrom, smallFrom := make([]int, n), make([]int, n) // the phases in which a register can first be read
	for i := range bigFrom {
		bigFrom[i] = 1
	}
	made, last := make([]int, n), make([]int, n) // the phases of a register's first and last use
	r.phases = make([]rowPhase, 2)               // phase 0 has no pass over the row
	for i := range r.prog.Instrs {
		in := &r.prog.Instrs[i]
		args := in.args()
		p := 0
		if !r.passes(in) {
			for _, a := range args {
				p = max(p, smallFrom[a])
			}
			r.phases[p].small = append(r.phases[p].small, i)
			smallFrom[in.Dst], bigFrom[in.Dst] = p, p+1
			continue
		}
		for _, a := range args {
			p = max(p, bigFrom[a])
		}
		if p == len(r.phases) {
			r.phases = append(r.phases, rowPhase{})
		}
		r.phases[p].big = append(r.phases[p].big, i)
		for _, a := range args {
			last[a] = max(last[a], p)
		}
		if in.Sum {
			smallFrom[in.Dst], bigFrom[in.Dst] = p, p+1
		} else {
			made[in.Dst], last[in.Dst], bigFrom[in.Dst] = p, p, p
		}
	}
	return r.place(made, last)
}

// passes reports whether an instruction works on the whole row, block by block.
func (r *Rows[T]) passes(in *RowInstr) bool {
	return r.regs[in.Dst].whole() || in.Sum && r.regs[in.Args[0]].whole()
}

// place gives registers their scratch memory: what is left of a row, rows that live on and repeated values once each;
// the blocks of a phase share theirs with those of other phases and, once read for the last time, within a phase.
func (r *Rows[T]) place(made, last []int) int {
	length := 0
	take := func(n int) int {
		at := length
		length += (n + 15) &^ 15
		return at
	}
	room := r.step // for repeated values: a block, or what is left of a row
	for i := range r.regs {
		if g := &r.regs[i]; !g.whole() {
			room = max(room, g.kept)
		}
	}
	for i := range r.regs {
		g := &r.regs[i]
		if !g.whole() {
			g.spread = take(room)
		}
		if g.lives = !g.whole() || made[i] != last[i]; g.lives && r.prog.Operands[i].Slot < 0 {
			g.offset = take(g.kept)
		}
	}
	start, end := length, length
	for p := range r.phases {
		length = start
		final := map[int]int{}
		for _, i := range r.phases[p].big {
			for _, a := range r.prog.Instrs[i].args() {
				final[a] = i
			}
		}
		var free []int
		for _, i := range r.phases[p].big {
			in := &r.prog.Instrs[i]
			for _, a := range in.args() {
				if f, ok := final[a]; ok && f == i && r.block(a) {
					free = append(free, r.regs[a].offset)
					delete(final, a)
				}
			}
			if in.Sum || !r.block(in.Dst) {
				continue
			}
			if n := len(free); n > 0 {
				r.regs[in.Dst].offset, free = free[n-1], free[:n-1]
			} else {
				r.regs[in.Dst].offset = take(r.step)
			}
		}
		end = max(end, length)
	}
	return end
}

// block reports whether a register has scratch memory for one block only.
func (r *Rows[T]) block(reg int) bool { return r.prog.Operands[reg].Slot < 0 && !r.regs[reg].lives }
