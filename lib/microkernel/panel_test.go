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
		step := rows + rng.IntN(30)
		src := make([]float32, (cols-1)*step+rows)
		for i := range src {
			src[i] = float32(i)
		}
		room := slices.Repeat([]float32{canary}, cols*Panel+Panel)
		dst := room[:(cols-1)*Panel+rows]
		want := slices.Clone(room)
		for p := range cols {
			for r := range rows {
				want[p*Panel+r] = src[p*step+r]
			}
		}
		CopyPanel(dst, src, step, rows, cols)
		if !slices.Equal(room, want) {
			t.Fatalf("%d rows of %d columns, %d apart, went wrong", rows, cols, step)
		}
		for _, short := range []func(){func() { CopyPanel(dst[1:], src, step, rows, cols) }, func() { CopyPanel(dst, src[1:], step, rows, cols) }} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%d rows of %d columns: a slice that is too short was accepted", rows, cols)
					}
				}()
				short()
			}()
		}
	}
}
