package kernel

import "golang.org/x/sys/cpu"

// hasWide says whether the processor has AVX-512, for which there are loops in assembly.
var hasWide = cpu.X86.HasAVX512F

//go:noescape
func add512(dst, a, b *float32, n int)

//go:noescape
func sub512(dst, a, b *float32, n int)

//go:noescape
func mul512(dst, a, b *float32, n int)

//go:noescape
func div512(dst, a, b *float32, n int)

//go:noescape
func silu1x512(dst, a, b *float32, n int)

//go:noescape
func silu2x512(dst, a, b *float32, n int)

//go:noescape
func addScalar512(dst, a *float32, s float32, n int)

//go:noescape
func subScalar512(dst, a *float32, s float32, n int)

//go:noescape
func scalarSub512(dst, a *float32, s float32, n int)

//go:noescape
func mulScalar512(dst, a *float32, s float32, n int)

//go:noescape
func divScalar512(dst, a *float32, s float32, n int)

//go:noescape
func scalarDiv512(dst, a *float32, s float32, n int)

//go:noescape
func affine512(dst, a *float32, p, q float32, n int)

//go:noescape
func exp512(dst, a *float32, n int)

//go:noescape
func sigmoid512(dst, a *float32, n int)

//go:noescape
func fill512(dst *float32, s float32, n int)

// loopsOf returns the loops that do an instruction, as far as there are any.
func loopsOf(in *Instr) (l loops) {
	if !hasWide {
		return l
	}
	switch {
	case in.Code == Affine:
		p, q := float32(in.P), float32(in.Q)
		l.one = func(dst, a *float32, n int) { affine512(dst, a, p, q, n) }
		if q == 0 { // a sum with 0 would turn -0 into 0
			l.one = func(dst, a *float32, n int) { mulScalar512(dst, a, p, n) }
		}
	case in.Code == Exp:
		l.one = exp512
	case in.Code == Sigmoid:
		l.one = sigmoid512
	case in.Code == Add:
		l = loops{two: add512, scalarFirst: addScalar512, scalarLast: addScalar512}
	case in.Code == Sub:
		l = loops{two: sub512, scalarFirst: scalarSub512, scalarLast: subScalar512}
	case in.Code == Mul:
		l = loops{two: mul512, scalarFirst: mulScalar512, scalarLast: mulScalar512}
	case in.Code == Div:
		l = loops{two: div512, scalarFirst: scalarDiv512, scalarLast: divScalar512}
	case in.Code == SiLU && in.P == 0:
		l.two = mul512
	case in.Code == SiLU && in.P == 1:
		l.two = silu1x512
	case in.Code == SiLU && in.P == 2:
		l.two = silu2x512
	}
	return l
}

// wideFill sets all of dst, or reports that it cannot.
func wideFill(dst []float32, s float32) bool {
	if len(dst) == 0 || !hasWide {
		return false
	}
	fill512(&dst[0], s, len(dst))
	return true
}

//go:noescape
func copyColumns512(dst *float32, dstStep int, src *float32, at, srcStep, rows, load, store int)

// wideShift writes rows rows of length out, dst[r, x] = src[r, x+d], or zero where x+d is outside of src's rows of length in.
func wideShift(dst []float32, out int, src []float32, in, rows, d int) bool {
	if !hasWide {
		return false
	}
	_, _ = dst[rows*out-1], src[rows*in-1]
	for x := 0; x < out; x += 16 {
		// Only lanes that are inside are read.
		from, to := min(16, max(0, -d-x)), min(16, max(0, in-d-x))
		copyColumns512(&dst[x], out, &src[0], x+d, in, rows, 1<<to-1<<from, 1<<min(16, out-x)-1)
	}
	return true
}

//go:noescape
func addLanes512(lanes *[sumLanes]float32, v *float32, n int)

//go:noescape
func sum512(v *float32, n int) float32

// wideAddLanes adds all of v to the sums, from the first of them on, or returns 0.
func wideAddLanes(l *[sumLanes]float32, v []float32) int {
	if len(v) == 0 || !hasWide {
		return 0
	}
	addLanes512(l, &v[0], len(v))
	return len(v)
}

// wideSum is sumSlice, or reports that it cannot be.
func wideSum[T Float](v []T) (T, bool) {
	if _, ok := any(T(0)).(float32); !ok || len(v) == 0 || !hasWide {
		return 0, false
	}
	return T(sum512(first(v), len(v))), true
}
