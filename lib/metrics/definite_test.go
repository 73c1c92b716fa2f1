package metrics

import (
	"errors"
	"testing"
)

func TestCheckCovariance(t *testing.T) {
	const d = 8
	for _, c := range []struct {
		name     string
		off      float64 // all covariances; variances are 1
		definite bool
	}{
		{"independent", 0, true},
		{"of rank one", 1, true},
		{"indefinite within rounding", -1.0/(d-1) - 1e-7, true},
		{"slightly indefinite", -1.0/(d-1) - 1e-4, false},
		{"clearly indefinite", -0.9, false},
	} {
		cov := make([]float64, d*d)
		for i := range cov {
			cov[i] = c.off
			if i%(d+1) == 0 {
				cov[i] = 1
			}
		}
		m, err := NewMomentsOf(0, make([]float64, d), cov)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.CheckCovariance(); (err == nil) != c.definite || err != nil && !errors.Is(err, errIndefinite) {
			t.Errorf("%s: error %v, want none if definite (%v), else errIndefinite", c.name, err, c.definite)
		}
	}
	zero, err := NewMomentsOf(0, make([]float64, d), make([]float64, d*d))
	if err != nil {
		t.Fatal(err)
	}
	if err := zero.CheckCovariance(); err != nil {
		t.Errorf("the covariance of equal vectors: error %v, want none", err)
	}
}
