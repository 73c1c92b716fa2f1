//go:build !amd64

package microkernel

func multiply64(p *Product, a, b, c []float64) { plain(p, a, b, c) }
