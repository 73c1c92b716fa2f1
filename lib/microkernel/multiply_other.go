//go:build !amd64 && !arm64

package microkernel

// Name returns the name of the vector instructions that products use on this machine.
func Name() string { return "scalar" }

func multiply(p *Product, a, b, c []float32) { plain(p, a, b, c) }
