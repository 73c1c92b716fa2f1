package blas

import (
	"fmt"
	"testing"

	"gonum.org/v1/gonum/blas/gonum"
)

// shapes are products of the networks here: convolutions, their filters' gradients (b transposed), the first layer,
// attention, and linear layers with their gradients.
var shapes = []struct {
	name    string
	ta, tb  bool
	m, n, k int
}{
	{"conv", false, false, 256, 1024, 576},
	{"conv", false, false, 64, 784, 576},
	{"conv", false, false, 16, 784, 144},
	{"first", false, false, 16, 784, 9},
	{"filters", false, true, 64, 576, 512},
	{"filters", false, true, 16, 144, 784},
	{"scores", false, true, 256, 256, 64},
	{"mix", false, false, 256, 64, 256},
	{"linear", false, true, 64, 512, 128},
	{"linear", true, false, 512, 128, 64},
	{"linear", false, false, 512, 512, 512},
	{"last", false, true, 64, 1, 256},
}

// gonumOnly is the library that the class "go" was, for comparison.
type gonumOnly struct {
	pureGo
	impl gonum.Implementation
}

func (gonumOnly) Class() string { return "gonum" }

func (g gonumOnly) Sgemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	g.impl.Sgemm(trans(transA), trans(transB), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

// unitOnly is the class "go" on one unit.
type unitOnly struct {
	pureGo
	unit *unit
}

func (u unitOnly) Class() string { return "go-" + u.unit.name }

func (u unitOnly) Sgemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	sgemm(u.unit, m, n, k, alpha, stored(transA, a, lda), stored(transB, b, ldb), beta, matrix{c, ldc, 1})
}

func BenchmarkSgemm(b *testing.B) {
	ls := libraries(b)[1:]
	ls = append(ls, gonumOnly{})
	for _, u := range units {
		ls = append(ls, unitOnly{unit: u})
	}
	for _, s := range shapes {
		x, y, z := make([]float32, s.m*s.k), make([]float32, s.k*s.n), make([]float32, s.m*s.n)
		for i := range x {
			x[i] = float32(i%7) - 3.5
		}
		for i := range y {
			y[i] = float32(i%5) - 2.5
		}
		lda, ldb := s.k, s.n
		if s.ta {
			lda = s.m
		}
		if s.tb {
			ldb = s.k
		}
		for _, l := range ls {
			b.Run(fmt.Sprintf("%s/%dx%dx%d/%s", s.name, s.m, s.n, s.k, l.Class()), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					l.Sgemm(s.ta, s.tb, s.m, s.n, s.k, 1, x, lda, y, ldb, 0, z, s.n)
				}
				b.ReportMetric(2*float64(s.m*s.n*s.k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
