package microkernel

import "fmt"

// Transpose sets dst[j·dstStride+r] = src[r·srcStride+j] for r < rows and j < cols. It is used to pack up to Panel rows
// into a panel for Product, and to put the channels of a pixel next to each other.
func Transpose[T Float](dst []T, dstStride int, src []T, srcStride, rows, cols int) {
	transposeFrom(dst, 0, dstStride, src, srcStride, rows, cols)
}

// TransposeBackwards is Transpose with the columns in reverse order: dst[(cols-1-j)·dstStride+r] = src[r·srcStride+j].
func TransposeBackwards[T Float](dst []T, dstStride int, src []T, srcStride, rows, cols int) {
	transposeFrom(dst, (cols-1)*dstStride, -dstStride, src, srcStride, rows, cols)
}

// transposeFrom sets dst[first+j·dstStride+r] = src[r·srcStride+j]. dstStride may be negative.
func transposeFrom[T Float](dst []T, first, dstStride int, src []T, srcStride, rows, cols int) {
	if rows < 1 || rows > Panel || cols < 0 {
		panic(fmt.Sprintf("microkernel: transpose of %d rows and %d columns, expected 1 to %d rows and 0 or more columns",
			rows, cols, Panel))
	}
	if cols == 0 {
		return
	}
	last := first + (cols-1)*dstStride
	_, _, _ = dst[first+rows-1], dst[last+rows-1], src[(rows-1)*srcStride+cols-1]
	if d, ok := any(dst).([]float32); ok && transposed(d[first:], dstStride, any(src).([]float32), srcStride, rows, cols) {
		return
	}
	for j := range cols {
		to := dst[first+j*dstStride:][:rows]
		for r := range to {
			to[r] = src[r*srcStride+j]
		}
	}
}
