//go:build !amd64

package microkernel

const hasWindows, wideWindows = false, false

func masked(*Correlation, *Window, []float32, []float32, []float32) {}
