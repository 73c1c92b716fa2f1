package microkernel

// widths returns those of the two implementations that this machine supports, by name.
func widths[F any](avx2, avx512 F) map[string]F {
	m := map[string]F{}
	if hasAVX2 {
		m["AVX2"] = avx2
	}
	if hasAVX512 {
		m["AVX-512"] = avx512
	}
	return m
}

func assembly() map[string]multiplyFunc[float32] { return widths(multiply256, multiply512) }

func assembly64() map[string]multiplyFunc[float64] { return widths(multiply64x256, multiply64x512) }

func windowed() map[string]windowedFunc { return widths(masked256, masked512) }

func transposes() map[string]transposeFunc { return widths(transpose256, transpose512) }
