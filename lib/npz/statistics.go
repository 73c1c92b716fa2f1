package npz

import (
	"fmt"
	"io"
)

// Array names under which programs that compute the FID exchange feature statistics.
const (
	Mean       = "mu"
	Covariance = "sigma"
)

// ReadStatistics returns the mean mu, [d] or [1, d], and the covariance sigma [d, d] of features. It checks their
// shapes; metrics.NewMomentsOf checks the values.
func ReadStatistics(f *File) (mu, sigma []float64, err error) {
	mu, shape, err := Read[float64](f, Mean)
	if err != nil {
		return nil, nil, err
	}
	if len(shape) == 2 && shape[0] == 1 {
		shape = shape[1:]
	}
	if len(shape) != 1 || len(mu) == 0 {
		return nil, nil, fmt.Errorf("array %s has shape %v, expected [d]", Mean, shape)
	}
	sigma, shape, err = Read[float64](f, Covariance)
	if err != nil {
		return nil, nil, err
	}
	d := len(mu)
	if len(shape) != 2 || shape[0] != d || shape[1] != d {
		return nil, nil, fmt.Errorf("array %s has shape %v, expected [%d, %d] because %s has %d values",
			Covariance, shape, d, d, Mean, d)
	}
	return mu, sigma, nil
}

// WriteStatistics writes an archive with mu [d] and sigma [d, d].
func WriteStatistics(w io.Writer, mu, sigma []float64) error {
	if len(mu) == 0 || len(sigma) != len(mu)*len(mu) {
		return fmt.Errorf("statistics of %d means and %d covariances, expected d and d*d", len(mu), len(sigma))
	}
	z := NewWriter(w)
	if err := Add(z, Mean, []int{len(mu)}, mu); err != nil {
		return err
	}
	if err := Add(z, Covariance, []int{len(mu), len(mu)}, sigma); err != nil {
		return err
	}
	return z.Close()
}
