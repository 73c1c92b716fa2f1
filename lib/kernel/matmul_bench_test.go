package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// matMulShapes lists the forward and backward products of the networks whose speed TestAgainstTorch in lib/training
// measures.
var matMulShapes = []struct {
	net            string
	transA, transB bool
	batch, m, n, k int
}{
	{"mlp", false, true, 1, 512, 128, 128}, // layers of width 128 on 512 points
	{"mlp", false, false, 1, 512, 128, 128},
	{"mlp", true, false, 1, 128, 128, 512},
	{"mlp", false, true, 1, 512, 128, 11}, // the first layer
	{"mlp", false, false, 1, 512, 11, 128},
	{"mlp", true, false, 1, 128, 11, 512},
	{"mlp", false, true, 1, 512, 1, 128}, // the last layer
	{"mlp", false, false, 1, 512, 128, 1},
	{"mlp", true, false, 1, 1, 128, 512},
	{"demo", false, true, 1, 64, 64, 64}, // time embedding
	{"demo", false, false, 1, 64, 64, 64},
	{"demo", true, false, 1, 64, 64, 64},
	{"demo", false, true, 1, 64, 32, 64},
	{"demo", false, true, 1, 64, 64, 16},
	{"demo", true, false, 1, 32, 64, 64},
	{"wrn", false, true, 1, 16, 128, 128},
	{"wrn", false, false, 1, 16, 128, 128},
	{"wrn", true, false, 1, 128, 128, 16},
	{"wrn", true, false, 1, 256, 128, 16},
	{"wrn", false, true, 1, 16, 1, 256},
	{"wrn", false, false, 1, 16, 256, 1},
	{"wrn", true, false, 1, 1, 256, 16},
	{"unet", false, true, 1, 8, 128, 128},
	{"unet", false, false, 1, 8, 128, 128},
	{"unet", true, false, 1, 128, 128, 8},
	{"unet", true, false, 8, 256, 256, 64}, // attention
	{"unet", false, true, 8, 64, 256, 256},
	{"unet", false, false, 8, 64, 256, 256},
	{"unet", false, true, 8, 64, 64, 64},
	{"unet", true, false, 64, 256, 256, 64},
	{"unet", false, true, 64, 64, 256, 256},
}

func BenchmarkMatMul(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, s := range matMulShapes {
		op := func(t bool) string { return map[bool]string{true: "T"}[t] }
		name := fmt.Sprintf("%s/%dx%dx%d%s*%dx%d%s", s.net, s.batch, s.m, s.k, op(s.transA), s.k, s.n, op(s.transB))
		b.Run(name, func(b *testing.B) {
			x, y := single(random(rng, s.batch*s.m*s.k)), single(random(rng, s.batch*s.k*s.n))
			dst := make([]float32, s.batch*s.m*s.n)
			p := NewMatMul[float32](s.transA, s.transB, s.batch, s.m, s.n, s.k)
			for b.Loop() {
				p.Run(dst, x, y)
			}
			b.ReportMetric(2*float64(b.N)*float64(s.batch*s.m*s.n*s.k)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
