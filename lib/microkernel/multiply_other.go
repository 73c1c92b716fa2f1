//go:build !amd64 && !arm64

package microkernel

// Name tells which instructions this machine has for the product.
func Name() string { return "scalar" }

func multiply(p *Product, a, b, c []float32) { plain(p, a, b, c) }

func transposed(_ []float32, _ int, _ []float32, _, _, _ int) bool { return false }
