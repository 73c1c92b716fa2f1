package microkernel

func assembly() map[string]func(p *Product, a, b, c []float32) {
	return map[string]func(p *Product, a, b, c []float32){"NEON": multiply}
}

func assembly64() map[string]func(p *Product, a, b, c []float64) {
	return map[string]func(p *Product, a, b, c []float64){}
}

func windowed() map[string]func(p *Correlation, w *Window, a, b, c []float32) { return nil }

func transposes() map[string]func(dst []float32, dstStep int, src []float32, srcStep, rows, cols int) {
	return nil
}
