package microkernel

import "fmt"

// CopyPanel sets dst[p·Panel+r] = src[p·stride+r] for r < rows and p < cols. If a factor is stored column by column,
// CopyPanel packs up to Panel rows of it into a panel for Product.
func CopyPanel[T Float](dst, src []T, stride, rows, cols int) {
	if rows < 1 || rows > Panel || cols < 1 || stride < 0 {
		panic(fmt.Sprintf("microkernel: copy of %d rows and %d columns at stride %d, expected 1 to %d, 1 or more, 0 or more",
			rows, cols, stride, Panel))
	}
	_, _ = dst[(cols-1)*Panel+rows-1], src[(cols-1)*stride+rows-1]
	if d, ok := any(dst).([]float32); ok && rows == Panel && copiedPanel(d, any(src).([]float32), stride, cols) {
		return
	}
	for p := range cols {
		copy(dst[p*Panel:][:rows], src[p*stride:])
	}
}
