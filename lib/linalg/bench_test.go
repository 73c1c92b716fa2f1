package linalg

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func BenchmarkFactors(b *testing.B) {
	for _, n := range []int{128, 768, 2048} {
		rng := rand.New(rand.NewPCG(1, 1))
		x, a, c := make([]float64, n*n), make([]float64, n*n), make([]float64, n*n)
		for i := range x {
			x[i] = rng.NormFloat64()
		}
		AddGram(n, n, x, n, a, n)
		for i := range n {
			a[i*n+i] += 1
			for j := range i {
				a[i*n+j] = a[j*n+i]
			}
		}
		values, pivots, work := make([]float64, n), make([]int, n), make([]float64, n*n)
		for name, job := range map[string]func() error{
			"cholesky":    func() error { copy(c, a); return Cholesky(n, c, n) },
			"pivoted":     func() error { copy(c, a); _, err := PivotedCholesky(n, c, n, 0, pivots); return err },
			"eigenvalues": func() error { copy(c, a); return Eigenvalues(n, c, n, values) },
			"product":     func() error { MultiplyTransposed(n, n, n, x, n, x, n, c, n); return nil },
			"gram":        func() error { AddGram(n, n, x, n, c, n); return nil },
			"congruence":  func() error { Congruence(n, n, x, a, c, work); return nil },
		} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				for b.Loop() {
					if err := job(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
