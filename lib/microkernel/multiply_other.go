//go:build !amd64

package microkernel

const name = "scalar"

var best = plain32

func transposed(_ []float32, _ int, _ []float32, _, _, _ int) bool { return false }
