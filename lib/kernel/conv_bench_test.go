package kernel

import (
	"fmt"
	"testing"
)

// BenchmarkConvolution reports the rates of a convolution and of its two gradients at shapes that the networks of this
// project use. Their upper bound is the rate that the benchmark of package microkernel reports, times the number of
// cores.
func BenchmarkConvolution(b *testing.B) {
	for _, s := range []ConvShape{
		{N: 64, Cin: 1, H: 28, W: 28, Cout: 16, KH: 3, KW: 3},
		{N: 64, Cin: 16, H: 28, W: 28, Cout: 1, KH: 3, KW: 3},
		{N: 64, Cin: 16, H: 28, W: 28, Cout: 16, KH: 3, KW: 3},
		{N: 64, Cin: 32, H: 14, W: 14, Cout: 32, KH: 3, KW: 3},
		{N: 64, Cin: 32, H: 7, W: 7, Cout: 32, KH: 3, KW: 3},
		{N: 64, Cin: 48, H: 28, W: 28, Cout: 16, KH: 1, KW: 1},
		{N: 16, Cin: 64, H: 32, W: 32, Cout: 64, KH: 3, KW: 3},
		{N: 16, Cin: 128, H: 16, W: 16, Cout: 128, KH: 3, KW: 3},
		{N: 16, Cin: 256, H: 8, W: 8, Cout: 256, KH: 3, KW: 3},
		{N: 4, Cin: 192, H: 17, W: 17, Cout: 192, KH: 1, KW: 7},
	} {
		s.StrideH, s.StrideW, s.PadH, s.PadW = 1, 1, s.KH/2, s.KW/2
		x, w := make([]float32, s.N*s.Cin*s.H*s.W), make([]float32, s.Cout*s.Cin*s.KH*s.KW)
		y := make([]float32, s.N*s.Cout*s.OH()*s.OW())
		forward, input, filter := NewConv[float32](s), NewConvInputGrad[float32](s), NewConvFilterGrad[float32](s)
		for _, c := range []struct {
			role string
			run  func()
		}{
			{"forward", func() { forward.Run(y, x, w) }},
			{"input", func() { input.Run(x, y, w) }},
			{"filter", func() { filter.Run(w, x, y) }},
		} {
			b.Run(fmt.Sprintf("%dx%d,%d-%d,%dx%d/%s", s.H, s.W, s.Cin, s.Cout, s.KH, s.KW, c.role), func(b *testing.B) {
				for b.Loop() {
					c.run()
				}
				b.ReportMetric(2*float64(b.N)*float64(len(y))*float64(s.Cin*s.KH*s.KW)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
