//go:build !amd64

package microkernel

// Architectures other than amd64 have no assembly, except for float32 products on arm64.

const hasWindows, wideWindows = false, false

func masked(*Correlation, *Window, []float32, []float32, []float32) {}

// multiply64 must not be inlined: in a generic caller the compiler does not see that plain keeps no operand, and would
// move the caller's Product to the heap.
//
//go:noinline
func multiply64(p *Product, a, b, c []float64) { plain(p, a, b, c) }

func copiedPanel([]float32, []float32, int, int) bool { return false }

func transposed([]float32, int, []float32, int, int, int) bool { return false }
