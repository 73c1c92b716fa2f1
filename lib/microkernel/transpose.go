package microkernel

// Transpose writes dst[j·dstStep+r] = src[r·srcStep+j] for r < rows and j < cols: up to Panel rows become the columns
// that Product reads a as, or the channels of a pixel that lie side by side.
func Transpose[T Float](dst []T, dstStep int, src []T, srcStep, rows, cols int) {
	if rows < 1 || rows > Panel || cols < 0 {
		panic("microkernel: transpose of more rows than a panel has")
	}
	if cols == 0 {
		return
	}
	_, _ = dst[(cols-1)*dstStep+rows-1], src[(rows-1)*srcStep+cols-1]
	if d, ok := any(dst).([]float32); ok && transposed(d, dstStep, any(src).([]float32), srcStep, rows, cols) {
		return
	}
	for j := range cols {
		to := dst[j*dstStep:][:rows]
		for r := range to {
			to[r] = src[r*srcStep+j]
		}
	}
}

// TransposeBackwards is Transpose with the columns written last to first: dst[(cols-1-j)·dstStep+r] = src[r·srcStep+j].
func TransposeBackwards[T Float](dst []T, dstStep int, src []T, srcStep, rows, cols int) {
	if rows < 1 || rows > Panel || cols < 0 {
		panic("microkernel: transpose of more rows than a panel has")
	}
	if cols == 0 {
		return
	}
	last := (cols - 1) * dstStep
	_, _ = dst[last+rows-1], src[(rows-1)*srcStep+cols-1]
	if d, ok := any(dst).([]float32); ok && transposed(d[last:], -dstStep, any(src).([]float32), srcStep, rows, cols) {
		return
	}
	for j := range cols {
		to := dst[last-j*dstStep:][:rows]
		for r := range to {
			to[r] = src[r*srcStep+j]
		}
	}
}
