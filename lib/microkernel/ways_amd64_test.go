package microkernel

func assembly() map[string]func(p *Product, a, b, c []float32) {
	w := map[string]func(p *Product, a, b, c []float32){}
	if hasAVX2 {
		w["AVX2"] = multiply256
	}
	if hasAVX512 {
		w["AVX-512"] = multiply512
	}
	return w
}

func assembly64() map[string]func(p *Product, a, b, c []float64) {
	w := map[string]func(p *Product, a, b, c []float64){}
	if hasAVX2 {
		w["AVX2"] = multiply64x256
	}
	if hasAVX512 {
		w["AVX-512"] = multiply64x512
	}
	return w
}

func windowed() map[string]func(p *Correlation, w *Window, a, b, c []float32) {
	m := map[string]func(p *Correlation, w *Window, a, b, c []float32){}
	if hasAVX2 {
		m["AVX2"] = masked256
	}
	if hasAVX512 {
		m["AVX-512"] = masked512
	}
	return m
}

func transposes() map[string]func(dst []float32, dstStep int, src []float32, srcStep, rows, cols int) {
	m := map[string]func(dst []float32, dstStep int, src []float32, srcStep, rows, cols int){}
	if hasAVX2 {
		m["AVX2"] = transpose256
	}
	if hasAVX512 {
		m["AVX-512"] = transpose512
	}
	return m
}
