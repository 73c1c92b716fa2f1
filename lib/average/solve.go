package average

import (
	"errors"

	"vapo/lib/linalg"
)

// solve returns the coefficients x [len(have)] of the linear combination of have that is closest to want in the L2
// norm, among all coefficients whose sum is 1. residual is the distance as a fraction of the norm of want.
//
// EDM2 (algorithm 3) does not fix the sum, which with hundreds of snapshots is close to 1 anyway. With a few snapshots,
// the sum would be off by a percent or more, and so would all weights of the network. Averages of different lengths
// often differ by less than a percent, because late in training the weights change little compared with their size.
func solve(have []profile, want profile) (x []float64, residual float64, err error) {
	n := len(have)
	a := make([]float64, n*n) // inner products
	x = make([]float64, n)
	ones := make([]float64, n)
	b := make([]float64, n)
	for i, p := range have {
		for j, q := range have {
			a[i*n+j] = inner(p, q)
		}
		b[i] = inner(p, want)
		x[i], ones[i] = b[i], 1
	}
	u := append([]float64(nil), a...)
	if err := linalg.Cholesky(n, u, n); err != nil {
		return nil, 0, errors.New("their profiles are too similar to each other")
	}
	// The minimum under the constraint is at A·x = b + lambda·1.
	substitute(u, x)
	substitute(u, ones)
	lambda := (1 - sum(x)) / sum(ones)
	for i := range x {
		x[i] += float64(lambda * ones[i])
	}
	norm := inner(want, want)
	square := norm
	for i := range n {
		square -= float64(2 * x[i] * b[i])
		for j := range n {
			square += float64(x[i] * a[i*n+j] * x[j])
		}
	}
	return x, relative(square, norm), nil
}

// substitute replaces x [n] by (uᵀ·u)⁻¹·x for an upper triangular u [n, n].
func substitute(u, x []float64) {
	n := len(x)
	for i := range n {
		for j := range i {
			x[i] -= float64(u[j*n+i] * x[j])
		}
		x[i] /= u[i*n+i]
	}
	for i := n - 1; i >= 0; i-- {
		for j := i + 1; j < n; j++ {
			x[i] -= float64(u[i*n+j] * x[j])
		}
		x[i] /= u[i*n+i]
	}
}

func sum(x []float64) (total float64) {
	for _, v := range x {
		total += v
	}
	return total
}
