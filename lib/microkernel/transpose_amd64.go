package microkernel

//go:noescape
func transpose16(dst *float32, dstStep int, src *float32, srcStep, rows, cols, lanes int)

//go:noescape
func transpose8(dst *float32, dstStep int, src *float32, srcStep, rows, cols int)

func transposed(dst []float32, dstStep int, src []float32, srcStep, rows, cols int) bool {
	switch {
	case hasAVX512:
		transpose512(dst, dstStep, src, srcStep, rows, cols)
	case hasAVX2:
		transpose256(dst, dstStep, src, srcStep, rows, cols)
	}
	return hasAVX2
}

func transpose512(dst []float32, dstStep int, src []float32, srcStep, rows, cols int) {
	transpose16(&dst[0], dstStep, &src[0], srcStep, rows, cols, 1<<rows-1)
}

func transpose256(dst []float32, dstStep int, src []float32, srcStep, rows, cols int) {
	for r := 0; r < rows; r += 8 {
		transpose8(&dst[r], dstStep, &src[r*srcStep], srcStep, min(8, rows-r), cols)
	}
}
