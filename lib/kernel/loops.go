package kernel

import "unsafe"

type (
	unaryLoop  = func(dst, a *float32, n int)
	binaryLoop = func(dst, a, b *float32, n int)
	scalarLoop = func(dst, v *float32, s float32, n int) // the other operand is s for every element
)

// assembly holds the float32 loops of one instruction set, each over n elements. Every loop gives the same bits as the
// Go loop that it replaces. dst may alias an operand.
type assembly struct {
	add, sub, mul, div, silu1, silu2, larger binaryLoop

	addScalar, subScalar, scalarSub, mulScalar, divScalar, scalarDiv, expShifted scalarLoop

	exp, sigmoid, sqrt, step unaryLoop

	affine       func(dst, a *float32, p, q float32, n int)
	fill         func(dst *float32, s float32, n int)
	sum, largest func(v *float32, n int) float32
	addLanes     func(lanes *[sumLanes]float32, v *float32, n int)
	shift        func(dst []float32, out int, src []float32, in, rows, d int)
}

// machine holds the loops for the widest vectors of this computer. If the computer has neither AVX2 nor AVX-512,
// machine is nil and the loops in Go run.
var machine = newAssembly()

// assemblyFor returns machine for float32 and nil for float64.
func assemblyFor[T Float]() *assembly {
	if _, ok := any(T(0)).(float32); ok {
		return machine
	}
	return nil
}

// loops holds the assembly loops of one float32 instruction. They are looked up once, so that running the instruction
// on a block is a single call. scalarFirst and scalarLast take a single value as their first or last operand. A field
// is nil if the instruction has no such loop.
type loops struct {
	one                     unaryLoop
	two                     binaryLoop
	scalarFirst, scalarLast scalarLoop
}

// newLoops looks up the loops of a pointwise instruction on T.
func newLoops[T Float](in *Instr) (l loops) {
	m := assemblyFor[T]()
	if m == nil {
		return l
	}
	switch {
	case in.Code == Affine:
		p, q, affine, mul := float32(in.P), float32(in.Q), m.affine, m.mulScalar
		l.one = func(dst, a *float32, n int) { affine(dst, a, p, q, n) }
		if q == 0 { // adding 0 would turn -0 into 0
			l.one = func(dst, a *float32, n int) { mul(dst, a, p, n) }
		}
	case in.Code == Exp:
		l.one = m.exp
	case in.Code == Sigmoid:
		l.one = m.sigmoid
	case in.Code == Sqrt:
		l.one = m.sqrt
	case in.Code == Heaviside:
		l.one = m.step
	case in.Code == Add:
		l = loops{two: m.add, scalarFirst: m.addScalar, scalarLast: m.addScalar}
	case in.Code == Sub:
		l = loops{two: m.sub, scalarFirst: m.scalarSub, scalarLast: m.subScalar}
	case in.Code == Mul:
		l = loops{two: m.mul, scalarFirst: m.mulScalar, scalarLast: m.mulScalar}
	case in.Code == Div:
		l = loops{two: m.div, scalarFirst: m.scalarDiv, scalarLast: m.divScalar}
	case in.Code == SiLU && in.P == 0:
		l.two = m.mul
	case in.Code == SiLU && in.P == 1:
		l.two = m.silu1
	case in.Code == SiLU && in.P == 2:
		l.two = m.silu2
	}
	return l
}

func first[T Float](v []T) *float32 { return (*float32)(unsafe.Pointer(unsafe.SliceData(v))) }

// asFloat32 reinterprets v, whose elements must be float32. A conversion through an interface would allocate.
func asFloat32[T Float](v []T) []float32 { return unsafe.Slice(first(v), len(v)) }
