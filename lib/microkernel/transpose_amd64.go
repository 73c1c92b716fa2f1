package microkernel

//go:noescape
func transpose16(dst *float32, dstStep int, src *float32, srcStep, rows, cols, lanes int)

//go:noescape
func transpose8(dst *float32, dstStep int, src *float32, srcStep, cols int)

func transposed(dst []float32, dstStep int, src []float32, srcStep, rows, cols int) bool {
	switch {
	case hasAVX512:
		transpose16(&dst[0], dstStep, &src[0], srcStep, rows, cols, 1<<rows-1)
		return true
	case hasAVX2 && rows >= 8 && cols >= 8:
		transpose8(&dst[0], dstStep, &src[0], srcStep, cols)
		if last := rows - 8; last > 0 { // which overlaps the first eight
			transpose8(&dst[last], dstStep, &src[last*srcStep], srcStep, cols)
		}
		return true
	}
	return false
}
