package kernel

import "unsafe"

// loops are a float32 instruction's loops in assembly, found once, so that running it on a block is one call. They give
// the bits of the loops in Go. A nil one is missing.
type loops struct {
	one                     func(dst, a *float32, n int)
	two                     func(dst, a, b *float32, n int)
	scalarFirst, scalarLast func(dst, v *float32, s float32, n int)
}

// newLoops finds the loops of a pointwise instruction on T.
func newLoops[T Float](in *Instr) loops {
	if _, ok := any(T(0)).(float32); ok {
		return loopsOf(in)
	}
	return loops{}
}

func first[T Float](v []T) *float32 { return (*float32)(unsafe.Pointer(unsafe.SliceData(v))) }

// asFloat32 is v as the float32 that it is; asking through an interface would allocate.
func asFloat32[T Float](v []T) []float32 { return unsafe.Slice(first(v), len(v)) }

// runLoops does the instruction on all of dst, or reports that it cannot. An operand of which single is set is one value.
func runLoops[T Float](l *loops, dst, a, b []T, singleA, singleB bool) bool {
	n := len(dst)
	if n == 0 || len(a) < n && !singleA {
		return false
	}
	if l.one != nil {
		if !singleA {
			l.one(first(dst), first(a), n)
		}
		return !singleA
	}
	if l.two == nil || len(b) < n && !singleB {
		return false
	}
	switch {
	case !singleA && !singleB:
		l.two(first(dst), first(a), first(b), n)
	case singleA && !singleB && l.scalarFirst != nil:
		l.scalarFirst(first(dst), first(b), float32(a[0]), n)
	case singleB && !singleA && l.scalarLast != nil:
		l.scalarLast(first(dst), first(a), float32(b[0]), n)
	default:
		return false
	}
	return true
}
