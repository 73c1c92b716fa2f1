package metrics_test

import (
	"fmt"
	"log"

	"vapo/lib/metrics"
)

// The two sets of vectors have the same covariance, and their means are 3 apart.
func ExampleFrechetDistance() {
	moments := func(rows ...float32) *metrics.Moments {
		m := metrics.NewMoments(2)
		if err := m.Add(rows); err != nil {
			log.Fatal(err)
		}
		return m
	}
	a := moments(-1, 0, 1, 0, 0, -1, 0, 1)
	b := moments(2, 0, 4, 0, 3, -1, 3, 1)
	distance, err := metrics.FrechetDistance(a, b)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.3f = %.3f for the means + %.3f for the covariances\n",
		distance.Value, distance.MeanTerm, distance.CovTerm)
	// Output: 9.000 = 9.000 for the means + 0.000 for the covariances
}

// The second set is the first one, moved by 1. In a random direction of the plane, the mean square of this move is 1/2,
// so the distance is sqrt(1/2).
func ExampleSlicedW2() {
	a := []float32{0, 0, 1, 0, 0, 1}
	b := []float32{1, 0, 2, 0, 1, 1}
	distance, err := metrics.SlicedW2(a, b, 2, 10000, 0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.2f\n", distance)
	// Output: 0.71
}
