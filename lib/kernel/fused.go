package kernel

import (
	"fmt"
	"slices"
)

// Fused executes a Program on T row by row, and each row block by block. Intermediate results stay in the caches, so a
// normalisation takes one pass over memory instead of one pass per operation. Fused adds in the same order as Sum, so
// its sums have the same bits.
//
// Everything that is the same for all rows is computed at construction: fused_schedule.go orders the instructions and
// assigns memory to their operands. fused_run.go then only calls loops.
type Fused[T Float] struct {
	prog      Program
	outer     []int // the dimensions that index the rows
	rows, row int   // the number of rows, and the elements of each
	blockLen  int   // elements per block
	regs      []register
	bound     []int // the registers that have a slot
	phases    []phase
	buffers   []buffer // one per register, empty if the register has a slot; then one per expansion
	scratch   int      // elements of a worker's scratch memory
	sums      int      // the number of running sums

	perPiece       int // rows per piece
	piecesPerRow   int // more than 1 if long rows are divided
	blocksPerPiece int // blocks of each row per piece

	workers []*worker[T]
	slots   [][]T
	body    func(worker, piece int)
}

// register is the layout of an operand within a row.
type register struct {
	kept    int   // values per row
	repeat  int   // consecutive elements of the row that share a value
	gather  []int // the offset of every chunk; nil if the values are in the order of the row
	chunk   int   // elements per chunk; they share a value or, if repeat is 1, are contiguous in memory
	strides []int // the strides along the dimensions that index the rows

	stored     bool // keeps a whole row: it has a slot, is reduced, or is read after the phase that computes it
	expansion  int  // index of the buffer for a block of repeated or gathered values; 0 without such a buffer
	firstPhase int  // the phase that computes the register
	lastPhase  int  // the last phase that reads the register
}

// full reports whether the register has one value for every element of the row, in the order of the row.
func (g *register) full() bool { return g.repeat == 1 && g.gather == nil }

// buffer is a part of a worker's scratch memory.
type buffer struct{ offset, length int }

// maxBlock is the largest number of elements per block: 4 KiB in float32, so that a dozen registers fit in the
// first-level cache.
const maxBlock = 1024

// NewFused prepares prog. It panics if prog is malformed, since programs come from a compiler and not from a user.
func NewFused[T Float](prog Program) *Fused[T] {
	f := &Fused[T]{prog: prog.coalesce()}
	outer := f.prog.rows()
	f.outer = f.prog.Dims[:outer]
	f.rows, f.row = product(f.outer), product(f.prog.Dims[outer:])
	for i := range f.prog.Operands {
		o := &f.prog.Operands[i]
		f.regs = append(f.regs, newRegister(f.prog.Dims[outer:], o.Strides[outer:]))
		f.regs[i].strides = o.Strides[:outer]
		if o.Slot >= 0 {
			f.bound = append(f.bound, i)
		}
	}
	f.blockLen = f.chooseBlock()
	f.schedule()
	f.cut()
	for range Workers() {
		f.workers = append(f.workers, f.newWorker())
	}
	f.body = f.piece
	return f
}

// newRegister describes the layout of an operand's values along a row.
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

// chooseBlock returns the block length. If values repeat in long runs, the block length divides the length of a run, so
// that a repeated value is a scalar within every block.
func (f *Fused[T]) chooseBlock() int {
	run := f.row
	for i := range f.regs {
		if n := f.regs[i].repeat; n > 1 && f.regs[i].gather == nil {
			run = min(run, n)
		}
	}
	for blocks := (run + maxBlock - 1) / maxBlock; run >= 256 && run/blocks >= 128; blocks++ {
		if run%blocks == 0 {
			return run / blocks
		}
	}
	return min(f.row, maxBlock)
}

// cut divides the iteration space into pieces. A piece is one or more rows, or a part of a long row. A row with reduced
// values cannot be divided, because reduced values are computed once per row.
func (f *Fused[T]) cut() {
	blocks := (f.row + f.blockLen - 1) / f.blockLen
	f.perPiece, f.piecesPerRow, f.blocksPerPiece = max(1, grain/f.row), 1, blocks
	reduced := slices.ContainsFunc(f.prog.Instrs, func(in Instr) bool { return in.Sum || !f.regs[in.Dst].full() })
	if !reduced {
		f.blocksPerPiece = min(blocks, max(1, grain/f.blockLen))
		f.piecesPerRow = (blocks + f.blocksPerPiece - 1) / f.blocksPerPiece
	} else if f.row > MaxRow {
		panic(fmt.Sprintf("kernel: sums over rows of %d elements, expected at most %d", f.row, MaxRow))
	}
}
