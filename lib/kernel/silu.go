package kernel

// SiLUDerivative returns the coefficients, constant first, of the polynomials P and Q for which x·P(s) + Q(s) is the
// order-th derivative of silu(x) = x·s, with s = sigmoid(x). It is exported for engines that do not use these kernels.
func SiLUDerivative(order int) (p, q []float64) {
	f := siluPolynomials(order)
	return f.p, f.q
}
