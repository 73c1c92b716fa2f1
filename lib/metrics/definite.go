package metrics

import (
	"errors"

	"vapo/lib/linalg"
)

// ErrIndefinite says that a matrix is no covariance: some combination of the features has a negative variance.
var ErrIndefinite = errors.New("the covariance has negative eigenvalues")

// CheckCovariance returns ErrIndefinite where published moments hold a matrix that is no covariance: with an eigenvalue
// below -1e-5 times the largest variance, which leaves room for sums in float32. Any sums of squares are one.
func (m *Moments) CheckCovariance() error {
	var largest float64
	for i := range m.d {
		largest = max(largest, m.m2[i*m.d+i])
	}
	if largest == 0 {
		return nil
	}
	shifted := append([]float64(nil), m.m2...)
	for i := range m.d {
		shifted[i*m.d+i] += float64(1e-5 * largest)
	}
	err := linalg.Cholesky(m.d, shifted, m.d)
	if errors.Is(err, linalg.ErrNotPositiveDefinite) {
		return ErrIndefinite
	}
	return err
}
