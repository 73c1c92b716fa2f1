package kernel

import (
	"fmt"
	"slices"
)

// Fused executes a Program on T, row by row and each row block by block: what lies between the first read and the last
// write stays in the caches, so a normalisation costs one pass over memory instead of one for each of its operations.
// Sums run in the order of Sum, so fusing them changes no bit.
//
// Everything that does not depend on the row is worked out at construction: fused_schedule.go orders the instructions
// and finds the memory of their operands, fused_run.go only calls loops.
type Fused[T Float] struct {
	prog      Program
	outer     []int // the dimensions that number the rows
	rows, row int   // how many, and the elements of each
	step      int   // elements of a block
	regs      []register
	bound     []int // the registers that have a slot
	phases    []phase
	buffers   []buffer // of each register, empty if it has a slot; then the expansions'
	scratch   int      // elements of a worker's scratch memory
	sums      int      // how many running sums there are

	perPiece       int // rows
	piecesPerRow   int // more than one if long rows are shared out
	blocksPerPiece int // of each row

	workers []*worker[T]
	slots   [][]T
	body    func(worker, piece int)
}

// register is the layout of an operand within a row.
type register struct {
	kept    int   // values that it has in a row
	repeat  int   // consecutive elements of the row that share a value
	gather  []int // the offset of every chunk, if the values are not in the order of the row
	chunk   int   // consecutive elements that share a value or, if repeat is 1, are contiguous
	strides []int // along the dimensions that number the rows

	stored     bool // keeps a whole row: it has a slot, is reduced, or is read in a later phase than it is computed in
	expansion  int  // the buffer for a block of repeated or gathered values; 0: never needed
	firstPhase int  // in which it is computed
	lastPhase  int  // in which it is read last
}

// full reports whether a register has a value for every element, in order.
func (g *register) full() bool { return g.repeat == 1 && g.gather == nil }

// buffer is a part of a worker's scratch memory.
type buffer struct{ offset, length int }

// blockLen is the largest number of elements of a block: 4 KiB in float32, so that a dozen registers fit the
// first-level cache.
const blockLen = 1024

// NewFused prepares prog, which must be well-formed (it comes from a compiler, not from a user).
func NewFused[T Float](prog Program) *Fused[T] {
	f := &Fused[T]{prog: prog.coalesce()}
	cut := f.prog.rows()
	f.outer = f.prog.Dims[:cut]
	f.rows, f.row = product(f.outer), product(f.prog.Dims[cut:])
	for i := range f.prog.Operands {
		o := &f.prog.Operands[i]
		f.regs = append(f.regs, newRegister(f.prog.Dims[cut:], o.Strides[cut:]))
		f.regs[i].strides = o.Strides[:cut]
		if o.Slot >= 0 {
			f.bound = append(f.bound, i)
		}
	}
	f.step = f.blockStep()
	f.schedule()
	f.share()
	for range Workers() {
		f.workers = append(f.workers, f.newWorker())
	}
	f.body = f.piece
	return f
}

// newRegister finds out how the values of an operand are laid out along a row.
func newRegister(dims, strides []int) register {
	g := register{kept: 1, repeat: 1}
	d := len(dims) - 1
	for ; d >= 0 && strides[d] == 0 && g.kept == 1; d-- {
		g.repeat *= dims[d]
	}
	for ; d >= 0 && strides[d] == g.kept; d-- {
		g.kept *= dims[d]
	}
	if g.chunk = g.repeat; d < 0 {
		return g
	}
	if g.repeat == 1 {
		g.chunk = g.kept
	}
	row := product(dims)
	g.gather = make([]int, row/g.chunk)
	for c := range g.gather {
		rest := c * g.chunk
		for d := len(dims) - 1; d >= 0; d-- {
			g.gather[c] += rest % dims[d] * strides[d]
			rest /= dims[d]
		}
	}
	return g
}

// blockStep chooses blocks that end where long runs of repeated values end, so that such a value is one number within a
// block.
func (f *Fused[T]) blockStep() int {
	run := f.row
	for i := range f.regs {
		if n := f.regs[i].repeat; n > 1 && f.regs[i].gather == nil {
			run = min(run, n)
		}
	}
	for blocks := (run + blockLen - 1) / blockLen; run >= 256 && run/blocks >= 128; blocks++ {
		if run%blocks == 0 {
			return run / blocks
		}
	}
	return min(f.row, blockLen)
}

// share cuts the iteration space into pieces: several rows each, or parts of rows that are long. Only rows without
// reduced values can be cut: those are computed once a row.
func (f *Fused[T]) share() {
	blocks := (f.row + f.step - 1) / f.step
	f.perPiece, f.piecesPerRow, f.blocksPerPiece = max(1, grain/f.row), 1, blocks
	reduced := slices.ContainsFunc(f.prog.Instrs, func(in Instr) bool { return in.Sum || !f.regs[in.Dst].full() })
	if !reduced {
		f.blocksPerPiece = min(blocks, max(1, grain/f.step))
		f.piecesPerRow = (blocks + f.blocksPerPiece - 1) / f.blocksPerPiece
	} else if f.row > MaxRow {
		panic(fmt.Sprintf("kernel: sums over rows of %d elements, expected at most %d", f.row, MaxRow))
	}
}
