package microkernel

import (
	"math/rand/v2"
	"slices"
	"testing"
)

type transposeFunc = func(dst []float32, dstStride int, src []float32, srcStride, rows, cols int)

func TestTranspose(t *testing.T) {
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 3))
		rows, cols := 1+rng.IntN(Panel), rng.IntN(70)
		from, to := cols+rng.IntN(5), rows+rng.IntN(20)
		src, dst := make([]float32, max(0, (rows-1)*from+cols)), make([]float32, max(0, (cols-1)*to+rows)+40)
		for i := range src {
			src[i] = float32(i)
		}
		for i := range dst {
			dst[i] = canary
		}
		want, backwards := slices.Clone(dst), slices.Clone(dst)
		wantBackwards := slices.Clone(dst)
		for r := range rows {
			for j := range cols {
				want[j*to+r] = src[r*from+j]
				wantBackwards[(cols-1-j)*to+r] = src[r*from+j]
			}
		}
		Transpose(dst, to, src, from, rows, cols)
		TransposeBackwards(backwards, to, src, from, rows, cols)
		for name, transpose := range transposes() {
			got, gotBackwards := slices.Clone(dst), slices.Clone(backwards)
			for i := range got {
				got[i], gotBackwards[i] = canary, canary
			}
			if cols > 0 {
				transpose(got, to, src, from, rows, cols)
				transpose(gotBackwards[(cols-1)*to:], -to, src, from, rows, cols)
			}
			if !slices.Equal(got, want) || !slices.Equal(gotBackwards, wantBackwards) {
				t.Fatalf("%s: wrong transpose of %d rows of %d columns from stride %d to stride %d", name, rows, cols, from, to)
			}
		}
		if !slices.Equal(dst, want) || !slices.Equal(backwards, wantBackwards) {
			t.Fatalf("wrong transpose of %d rows of %d columns from stride %d to stride %d", rows, cols, from, to)
		}
	}
}

func BenchmarkTranspose(b *testing.B) {
	src, dst := make([]float32, 16*784), make([]float32, 16*784)
	for b.Loop() {
		Transpose(dst, 16, src, 784, 16, 784)
	}
	b.ReportMetric(float64(b.N)*16*784/b.Elapsed().Seconds()/1e9, "elements/ns")
}
