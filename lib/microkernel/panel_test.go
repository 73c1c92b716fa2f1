package microkernel

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestCopyPanel(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 4))
		rows, cols := 1+rng.IntN(Panel), 1+rng.IntN(40)
		if seed%2 == 0 {
			rows = Panel
		}
		stride := rows + rng.IntN(30)
		src := make([]float32, (cols-1)*stride+rows)
		for i := range src {
			src[i] = float32(i)
		}
		buffer := slices.Repeat([]float32{canary}, cols*Panel+Panel)
		dst := buffer[:(cols-1)*Panel+rows]
		want := slices.Clone(buffer)
		for p := range cols {
			for r := range rows {
				want[p*Panel+r] = src[p*stride+r]
			}
		}
		CopyPanel(dst, src, stride, rows, cols)
		if !slices.Equal(buffer, want) {
			t.Fatalf("%d rows of %d columns, stride %d: got %v, want %v", rows, cols, stride, buffer, want)
		}
		for _, short := range [][2][]float32{{dst[1:], src}, {dst, src[1:]}} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%d rows of %d columns: a slice that is too short was accepted", rows, cols)
					}
				}()
				CopyPanel(short[0], short[1], stride, rows, cols)
			}()
		}
	}
}
