package microkernel

//go:noescape
func transpose16(dst *float32, dstStride int, src *float32, srcStride, rows, cols, lanes int)

//go:noescape
func transpose8(dst *float32, dstStride int, src *float32, srcStride, rows, cols int)

func transposed(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) bool {
	switch {
	case hasAVX512:
		transpose512(dst, dstStride, src, srcStride, rows, cols)
	case hasAVX2:
		transpose256(dst, dstStride, src, srcStride, rows, cols)
	}
	return hasAVX2
}

func transpose512(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	transpose16(&dst[0], dstStride, &src[0], srcStride, rows, cols, 1<<rows-1)
}

func transpose256(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	for r := 0; r < rows; r += 8 {
		transpose8(&dst[r], dstStride, &src[r*srcStride], srcStride, min(8, rows-r), cols)
	}
}
