package kernel

import "golang.org/x/sys/cpu"

func newAssembly() *assembly {
	switch {
	case cpu.X86.HasAVX512F:
		return &avx512
	case cpu.X86.HasAVX2:
		return &avx2
	}
	return nil
}

var avx512 = assembly{
	add: add512, sub: sub512, mul: mul512, div: div512, silu1: silu1x512, silu2: silu2x512,
	larger:    larger512,
	addScalar: addScalar512, subScalar: subScalar512, scalarSub: scalarSub512,
	mulScalar: mulScalar512, divScalar: divScalar512, scalarDiv: scalarDiv512,
	expShifted: expShifted512,
	exp:        exp512, sigmoid: sigmoid512, sqrt: sqrt512, step: step512,
	affine: affine512, fill: fill512, sum: sum512, largest: largest512, addLanes: addLanes512, shift: shift512,
}

var avx2 = assembly{
	add: add256, sub: sub256, mul: mul256, div: div256, silu1: silu1x256, silu2: silu2x256,
	larger:    larger256,
	addScalar: addScalar256, subScalar: subScalar256, scalarSub: scalarSub256,
	mulScalar: mulScalar256, divScalar: divScalar256, scalarDiv: scalarDiv256,
	expShifted: expShifted256,
	exp:        exp256, sigmoid: sigmoid256, sqrt: sqrt256, step: step256,
	affine: affine256, fill: fill256, sum: sum256, largest: largest256, addLanes: addLanes256, shift: shift256,
}

// masks holds the mask elements of the AVX2 loops: 32 that are set, and 32 that are not.
//
//lint:ignore U1000 only the assembly reads it
var masks = [64]int32{
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
}

// shift512 sets dst[r, x] = src[r, x+d], or 0 if x+d is outside the row, for r < rows. Rows of dst have length out,
// rows of src length in.
func shift512(dst []float32, out int, src []float32, in, rows, d int) {
	_, _ = dst[rows*out-1], src[rows*in-1]
	for x := 0; x < out; x += 16 {
		// Only lanes inside the row are read.
		from, to := min(16, max(0, -d-x)), min(16, max(0, in-d-x))
		copyColumns512(&dst[x], out, &src[0], x+d, in, rows, 1<<to-1<<from, 1<<min(16, out-x)-1)
	}
}

// shift256 is shift512 for vectors of eight elements. It writes the last columns first, and each group of columns from
// the top row down. A vector may therefore extend beyond the end of a row: the elements that it overwrites there are
// written later. In the last rows, vectors are cut off at the end of the row, because nothing may be written beyond
// dst.
func shift256(dst []float32, out int, src []float32, in, rows, d int) {
	_, _ = dst[rows*out-1], src[rows*in-1]
	for x := (out - 1) / 8 * 8; x >= 0; x -= 8 {
		var load [8]int32
		for i := range load {
			if x+i+d >= 0 && x+i+d < in {
				load[i] = -1
			}
		}
		whole := rows
		if over := x + 8 - out; over > 0 {
			whole = max(0, rows-(over+out-1)/out)
		}
		if whole > 0 {
			copyColumns256(&dst[x], out, &src[0], x+d, in, whole, &load, 8)
		}
		if whole < rows {
			copyColumns256(&dst[whole*out+x], out, &src[0], whole*in+x+d, in, rows-whole, &load, min(8, out-x))
		}
	}
}

//go:noescape
func copyColumns512(dst *float32, dstStride int, src *float32, at, srcStride, rows, load, store int)

//go:noescape
func copyColumns256(dst *float32, dstStride int, src *float32, at, srcStride, rows int, load *[8]int32, store int)

// The loops in the tables above. They are called through a pointer, so go:noescape would have no effect on them.
func add512(dst, a, b *float32, n int)
func sub512(dst, a, b *float32, n int)
func mul512(dst, a, b *float32, n int)
func div512(dst, a, b *float32, n int)
func larger512(dst, a, b *float32, n int)
func silu1x512(dst, a, b *float32, n int)
func silu2x512(dst, a, b *float32, n int)
func addScalar512(dst, a *float32, s float32, n int)
func subScalar512(dst, a *float32, s float32, n int)
func scalarSub512(dst, a *float32, s float32, n int)
func mulScalar512(dst, a *float32, s float32, n int)
func divScalar512(dst, a *float32, s float32, n int)
func scalarDiv512(dst, a *float32, s float32, n int)
func expShifted512(dst, a *float32, s float32, n int)
func affine512(dst, a *float32, p, q float32, n int)
func exp512(dst, a *float32, n int)
func sigmoid512(dst, a *float32, n int)
func sqrt512(dst, a *float32, n int)
func step512(dst, a *float32, n int)
func fill512(dst *float32, s float32, n int)
func addLanes512(lanes *[sumLanes]float32, v *float32, n int)
func sum512(v *float32, n int) float32
func largest512(v *float32, n int) float32

func add256(dst, a, b *float32, n int)
func sub256(dst, a, b *float32, n int)
func mul256(dst, a, b *float32, n int)
func div256(dst, a, b *float32, n int)
func larger256(dst, a, b *float32, n int)
func silu1x256(dst, a, b *float32, n int)
func silu2x256(dst, a, b *float32, n int)
func addScalar256(dst, a *float32, s float32, n int)
func subScalar256(dst, a *float32, s float32, n int)
func scalarSub256(dst, a *float32, s float32, n int)
func mulScalar256(dst, a *float32, s float32, n int)
func divScalar256(dst, a *float32, s float32, n int)
func scalarDiv256(dst, a *float32, s float32, n int)
func expShifted256(dst, a *float32, s float32, n int)
func affine256(dst, a *float32, p, q float32, n int)
func exp256(dst, a *float32, n int)
func sigmoid256(dst, a *float32, n int)
func sqrt256(dst, a *float32, n int)
func step256(dst, a *float32, n int)
func fill256(dst *float32, s float32, n int)
func addLanes256(lanes *[sumLanes]float32, v *float32, n int)
func sum256(v *float32, n int) float32
func largest256(v *float32, n int) float32
