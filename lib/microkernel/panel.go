package microkernel

// CopyPanel writes dst[p·Panel+r] = src[p·step+r] for r < rows and p < cols: up to Panel rows of a factor that is stored
// column by column become the columns that Product reads a as.
func CopyPanel[T Float](dst, src []T, step, rows, cols int) {
	if rows < 1 || rows > Panel || cols < 1 || step < 0 {
		panic("microkernel: copy of more rows than a panel has")
	}
	_, _ = dst[(cols-1)*Panel+rows-1], src[(cols-1)*step+rows-1]
	if d, ok := any(dst).([]float32); ok && rows == Panel && copiedPanel(d, any(src).([]float32), step, cols) {
		return
	}
	for p := range cols {
		copy(dst[p*Panel:][:rows], src[p*step:])
	}
}
