package npz

import (
	"fmt"
	"io"
	"math"
)

// Array names under which programs that compute the FID exchange feature statistics.
const (
	Mean       = "mu"
	Covariance = "sigma"
)

// ReadStatistics returns the mean mu [d] and the covariance sigma [d, d] of features. All values must be finite. sigma
// must be symmetric, and no variance may be negative.
func ReadStatistics(f *File) (mu, sigma []float64, err error) {
	mu, shape, err := Read[float64](f, Mean)
	if err != nil {
		return nil, nil, err
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
	for i, v := range mu {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, nil, fmt.Errorf("array %s contains %v at %d", Mean, v, i)
		}
	}
	for i := range d {
		if sigma[i*d+i] < 0 {
			return nil, nil, fmt.Errorf("array %s contains a variance of %v at %d", Covariance, sigma[i*d+i], i)
		}
		for j := range d {
			a, b := sigma[i*d+j], sigma[j*d+i]
			if math.IsNaN(a) || math.IsInf(a, 0) {
				return nil, nil, fmt.Errorf("array %s contains %v at %d, %d", Covariance, a, i, j)
			}
			// The tolerance allows for programs that accumulate in float32.
			tolerance := float64(1e-4 * math.Sqrt(sigma[i*d+i]) * math.Sqrt(sigma[j*d+j]))
			if math.Abs(a-b) > tolerance+1e-12 {
				return nil, nil, fmt.Errorf("array %s is not symmetric: %v at %d, %d and %v at %d, %d",
					Covariance, a, i, j, b, j, i)
			}
		}
	}
	return mu, sigma, nil
}

// WriteStatistics writes an archive with mu [d] and sigma [d, d].
func WriteStatistics(w io.Writer, mu, sigma []float64) error {
	if len(mu) == 0 || len(sigma) != len(mu)*len(mu) {
		return fmt.Errorf("statistics of %d means and %d covariances", len(mu), len(sigma))
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
