package kernel

import (
	"fmt"
	"math"

	"vapo/lib/portable"
)

// Code names one pointwise operation of a Pointwise program.
type Code uint8

// The pointwise operations. Operands are a, b and c; P and Q are constants of the instruction.
const (
	Copy     Code = iota // a
	Affine               // P·a + Q
	Add                  // a + b
	Sub                  // a - b
	Mul                  // a · b
	Div                  // a / b
	Max                  // the larger of a and b
	Min                  // the smaller of a and b
	Exp                  // e^a
	Log                  // ln a
	Sqrt                 // square root of a
	Sin                  // sin a, a in radians
	Cos                  // cos a, a in radians
	Sigmoid              // 1/(1+e^-a)
	SiLU                 // the N-th derivative of x·sigmoid(x) at a, given b = sigmoid(a); N is P
	Step                 // 1 where a > 0, else 0
	Where                // b where a is not 0, else c
	IsFinite             // 1 where a is neither infinite nor NaN, else 0
	Erf                  // the error function of a
	codeCount
)

var codeNames = [codeCount]string{"copy", "affine", "add", "sub", "mul", "div", "max", "min", "exp", "log", "sqrt", "sin", "cos", "sigmoid", "silu", "step", "where", "isfinite", "erf"}

func (c Code) String() string { return codeNames[c] }

// Arity is the number of operands that c reads.
func (c Code) Arity() int {
	switch c {
	case Add, Sub, Mul, Div, Max, Min, SiLU:
		return 2
	case Where:
		return 3
	}
	return 1
}

// Instr is one operation of a Pointwise program: register Dst = Code(registers Args).
type Instr struct {
	Code Code
	Dst  int
	Args [3]int
	P, Q float64
}

// Operand says how a register is bound to memory.
type Operand struct {
	// Slot is the index into the slices given to Run, or -1 for a register that lives in scratch memory only.
	Slot int
	// Strides has one entry per dimension of Program.Dims: the step in elements, 0 where the operand is broadcast.
	Strides []int
	// Output marks a register that is written to its slot.
	Output bool
}

// Program is a chain of pointwise operations over one iteration space, run block by block so that what lies
// between the first read and the last write stays in the first-level cache.
type Program struct {
	Dims     []int // the iteration space, outermost first, with neighbours of like strides merged
	Operands []Operand
	Instrs   []Instr
}

// blockLen is the number of elements of a block: 4 KiB in float32, so that a dozen registers fit the cache.
const blockLen = 1024

// Pointwise executes a Program on T.
type Pointwise[T Float] struct {
	prog    Program
	run     int // length of the innermost dimension
	runs    int // product of the outer dimensions
	pieces  int
	perPc   int // runs a piece
	blocks  int // blocks a run, where one run is longer than a block
	scalar  []bool
	polys   []siluPoly // by instruction
	loops   []loops    // by instruction
	workers []*pointwiseState[T]
	slots   [][]T
	body    func(worker, piece int)
}

type pointwiseState[T Float] struct {
	scratch []T
	regs    [][]T
	filled  []int // offset of the scalar that a broadcast register holds now, -1 for none
	base    []int
}

// NewPointwise prepares prog, which must be well-formed (it comes from a compiler, not from a user).
func NewPointwise[T Float](prog Program) *Pointwise[T] {
	if len(prog.Dims) == 0 {
		panic("kernel: pointwise program without dimensions")
	}
	p := &Pointwise[T]{prog: prog, run: prog.Dims[len(prog.Dims)-1], runs: 1}
	for _, d := range prog.Dims[:len(prog.Dims)-1] {
		p.runs *= d
	}
	if p.run > blockLen {
		p.blocks = (p.run + blockLen - 1) / blockLen
		// A piece is a few blocks of one run.
		p.perPc = max(1, grain/blockLen)
		p.pieces = p.runs * ((p.blocks + p.perPc - 1) / p.perPc)
	} else {
		p.perPc = max(1, grain/max(1, p.run))
		p.pieces = (p.runs + p.perPc - 1) / p.perPc
	}
	for _, o := range prog.Operands {
		p.scalar = append(p.scalar, o.Slot >= 0 && !o.Output && o.Strides[len(o.Strides)-1] == 0)
	}
	p.polys = make([]siluPoly, len(prog.Instrs))
	for i, in := range prog.Instrs {
		if in.Code >= codeCount {
			panic(fmt.Sprintf("kernel: unknown pointwise code %d", in.Code))
		}
		if in.Code == SiLU {
			p.polys[i] = siluPolynomials(int(in.P))
		}
		p.loops = append(p.loops, newLoops[T](&in))
	}
	p.workers = make([]*pointwiseState[T], Workers())
	for i := range p.workers {
		w := &apart[pointwiseState[T]](1)[0]
		*w = pointwiseState[T]{
			scratch: apart[T](len(prog.Operands) * blockLen),
			regs:    apart[[]T](len(prog.Operands)),
			filled:  apart[int](len(prog.Operands)),
			base:    apart[int](len(prog.Operands)),
		}
		p.workers[i] = w
	}
	p.body = p.piece
	return p
}

// Run executes the program; slots are indexed by Operand.Slot. It is not safe for concurrent use.
func (p *Pointwise[T]) Run(slots [][]T) {
	p.slots = slots
	Parallel(p.pieces, p.body)
	p.slots = nil
}

func (p *Pointwise[T]) piece(worker, piece int) {
	w := p.workers[worker]
	for i := range w.filled {
		w.filled[i] = -1
	}
	if p.blocks > 0 {
		per := (p.blocks + p.perPc - 1) / p.perPc
		run, first := piece/per, piece%per*p.perPc
		p.locate(w, run)
		for b := first; b < min(first+p.perPc, p.blocks); b++ {
			p.block(w, b*blockLen, min(blockLen, p.run-b*blockLen))
		}
		return
	}
	for run := piece * p.perPc; run < min((piece+1)*p.perPc, p.runs); run++ {
		p.locate(w, run)
		p.block(w, 0, p.run)
	}
}

// locate finds where each operand's run starts.
func (p *Pointwise[T]) locate(w *pointwiseState[T], run int) {
	dims := p.prog.Dims
	for i := range w.base {
		w.base[i] = 0
	}
	for d := len(dims) - 2; d >= 0; d-- {
		k := run % dims[d]
		run /= dims[d]
		if k == 0 {
			continue
		}
		for i := range p.prog.Operands {
			if o := &p.prog.Operands[i]; o.Slot >= 0 {
				w.base[i] += k * o.Strides[d]
			}
		}
	}
}

func (p *Pointwise[T]) block(w *pointwiseState[T], off, n int) {
	for i := range p.prog.Operands {
		o := &p.prog.Operands[i]
		switch {
		case o.Slot < 0:
			w.regs[i] = w.scratch[i*blockLen : i*blockLen+n]
		case p.scalar[i]:
			r := w.scratch[i*blockLen : i*blockLen+n]
			if w.filled[i] != w.base[i] {
				v := p.slots[o.Slot][w.base[i]]
				full := w.scratch[i*blockLen : i*blockLen+min(blockLen, p.run)]
				fill(full, v)
				w.filled[i] = w.base[i]
			}
			w.regs[i] = r
		default:
			at := w.base[i] + off
			w.regs[i] = p.slots[o.Slot][at : at+n]
		}
	}
	for k := range p.prog.Instrs {
		in := &p.prog.Instrs[k]
		if runLoops(&p.loops[k], w.regs[in.Dst], w.regs[in.Args[0]], w.regs[in.Args[1]], false, false) {
			continue
		}
		operate(in, &p.polys[k], w.regs[in.Dst], w.regs[in.Args[0]], w.regs[in.Args[1]], w.regs[in.Args[2]])
	}
}

// operate runs one instruction on slices of the length of dst, with the loops in Go.
func operate[T Float](in *Instr, poly *siluPoly, dst, a, b, c []T) {
	switch in.Code {
	case Copy:
		copy(dst, a)
	case Affine:
		affine(dst, a, T(in.P), T(in.Q))
	case Add:
		add(dst, a, b)
	case Sub:
		sub(dst, a, b)
	case Mul:
		mul(dst, a, b)
	case Div:
		div(dst, a, b)
	case SiLU:
		siluDeriv(dst, a, b, poly)
	case Sigmoid:
		sigmoid(dst, a)
	default:
		rare(in.Code, dst, a, b, c)
	}
}

// rare holds the operations that no inner loop of a network spends time in.
func rare[T Float](code Code, dst, a, b, c []T) {
	a = a[:len(dst)]
	switch code {
	case Max:
		for i := range dst {
			dst[i] = max(a[i], b[i])
		}
	case Min:
		for i := range dst {
			dst[i] = min(a[i], b[i])
		}
	case Exp:
		for i := range dst {
			dst[i] = exp(a[i])
		}
	case Log:
		for i := range dst {
			dst[i] = T(portable.Log(float64(a[i])))
		}
	case Sqrt:
		for i := range dst {
			dst[i] = T(math.Sqrt(float64(a[i])))
		}
	case Sin:
		for i := range dst {
			dst[i] = T(portable.Sin(float64(a[i])))
		}
	case Cos:
		for i := range dst {
			dst[i] = T(portable.Cos(float64(a[i])))
		}
	case Erf:
		for i := range dst {
			dst[i] = T(portable.Erf(float64(a[i])))
		}
	case Step:
		for i := range dst {
			if a[i] > 0 {
				dst[i] = 1
			} else {
				dst[i] = 0
			}
		}
	case Where:
		for i := range dst {
			if a[i] != 0 {
				dst[i] = b[i]
			} else {
				dst[i] = c[i]
			}
		}
	case IsFinite:
		for i := range dst {
			if a[i]-a[i] == 0 {
				dst[i] = 1
			} else {
				dst[i] = 0
			}
		}
	}
}
