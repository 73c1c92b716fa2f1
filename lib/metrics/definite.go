package metrics

import (
	"errors"

	"vapo/lib/linalg"
)

// errIndefinite means that a matrix is not a covariance: some combination of the features has a negative variance.
var errIndefinite = errors.New("the covariance has negative eigenvalues")

// CheckCovariance returns an error if the matrix has an eigenvalue below -1e-5 times the largest variance. The
// tolerance allows for covariances that were computed in float32. Only published moments can fail, because moments
// computed from vectors are sums of squares.
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
		return errIndefinite
	}
	return err
}
