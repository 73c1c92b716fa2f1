package microkernel

//go:noescape
func copy16(dst, src *float32, stride, cols int)

func copiedPanel(dst, src []float32, stride, cols int) bool {
	if hasAVX2 {
		copy16(&dst[0], &src[0], stride, cols)
	}
	return hasAVX2
}
