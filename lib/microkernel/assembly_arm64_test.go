package microkernel

func assembly() map[string]multiplyFunc[float32] {
	return map[string]multiplyFunc[float32]{"NEON": multiply}
}

func assembly64() map[string]multiplyFunc[float64] { return map[string]multiplyFunc[float64]{} }

func windowed() map[string]windowedFunc { return nil }

func transposes() map[string]transposeFunc { return nil }
