package kernel

import "slices"

// Program is a sequence of pointwise operations and of sums over trailing dimensions. All of them share one iteration
// space.
//
// A register is an array over the iteration space. If it is broadcast or reduced, it has fewer elements than the space.
// The result of an instruction is row-major over some leading dimensions: over all dimensions, unless a sum has reduced
// the trailing ones. Each register is assigned at most once. The operands of a pointwise operation are constant along
// the dimensions that the result lacks.
type Program struct {
	Dims     []int // the iteration space, outermost dimension first
	Operands []Operand
	Instrs   []Instr
}

// Operand binds a register to memory.
type Operand struct {
	// Slot is the index into the slices given to Run, or -1 for a register in scratch memory.
	Slot int
	// Strides has one entry per dimension, in elements: 0 if the register is broadcast or reduced along it.
	Strides []int
}

// Instr is one operation. It applies Code to the registers Args and writes the result to register Dst. If Sum is set,
// it instead sums register Args[0] over the trailing dimensions that Args[0] has and Dst lacks.
type Instr struct {
	Code Code
	Sum  bool
	Dst  int
	Args [3]int
	P, Q float64
}

func (in *Instr) args() []int {
	if in.Sum {
		return in.Args[:1]
	}
	return in.Args[:in.Code.Arity()]
}

// coalesce returns a copy without dimensions of size 1. Neighbouring dimensions are joined if a single stride covers
// both in every register. At least one dimension remains. The copy shares no dimensions or strides with p.
func (p *Program) coalesce() Program {
	q := Program{Operands: make([]Operand, len(p.Operands)), Instrs: p.Instrs}
	for i := range q.Operands {
		q.Operands[i].Slot = p.Operands[i].Slot
	}
	for d := len(p.Dims) - 1; d >= 0; d-- {
		joined := len(q.Dims) > 0
		for i := range q.Operands {
			joined = joined && p.Operands[i].Strides[d] == q.Operands[i].Strides[0]*q.Dims[0]
		}
		switch {
		case joined:
			q.Dims[0] *= p.Dims[d]
		case p.Dims[d] > 1:
			q.insert(0, p.Dims[d], func(i int) int { return p.Operands[i].Strides[d] })
		}
	}
	if len(q.Dims) == 0 {
		q.insert(0, 1, func(int) int { return 0 })
	}
	return q
}

// insert adds a dimension in front of dimension d.
func (p *Program) insert(d, size int, stride func(operand int) int) {
	p.Dims = slices.Insert(p.Dims, d, size)
	for i := range p.Operands {
		p.Operands[i].Strides = slices.Insert(p.Operands[i].Strides, d, stride(i))
	}
}

const (
	// MaxRow is the length in elements of the longest row that can be summed. With this limit, a row of every live
	// register fits in the second-level cache, and Sum needs no partial sums for a row.
	MaxRow = 2 * sumChunk

	shortRow = 1024 // the number of elements below which the fixed costs of a row matter
	manyRows = 32   // a number of rows that is enough for all cores
)

// rows divides the dimensions into leading ones, which index the rows, and the others, which form a row. It returns the
// number of leading dimensions. A row contains all dimensions that sums reduce, and at least the innermost dimension. A
// short row is extended by further dimensions. The last of these dimensions may be split, so that only one factor of
// its size is added to the row.
func (p *Program) rows() int {
	cut := len(p.Dims) - 1
	for i := range p.Instrs {
		kept := p.Operands[p.Instrs[i].Dst].Strides[:cut]
		for len(kept) > 0 && kept[len(kept)-1] == 0 {
			kept = kept[:len(kept)-1]
		}
		cut = len(kept)
	}
	row, rows := product(p.Dims[cut:]), product(p.Dims[:cut])
	for cut > 0 {
		n := p.Dims[cut-1]
		factor := max(1, min(n, shortRow/row, rows/manyRows))
		for n%factor != 0 {
			factor--
		}
		if factor < n {
			if factor > 1 {
				p.Dims[cut-1] = factor
				p.insert(cut-1, n/factor, func(i int) int { return p.Operands[i].Strides[cut-1] * factor })
			}
			break
		}
		row, rows = row*factor, rows/factor
		cut--
	}
	return cut
}

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}
