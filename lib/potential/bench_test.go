package potential

import (
	"testing"

	"vapo/lib/backend/tape"
	"vapo/lib/random"
)

// BenchmarkField times one evaluation of grad Phi, as sampling needs it, for the demo's network and for the network for
// two-dimensional data.
func BenchmarkField(b *testing.B) {
	be := tape.Tape{}
	for _, c := range []struct {
		name   string
		config Config
		batch  int
	}{
		{"unet16-122/batch64", Config{Kind: "unet", Shape: []int{1, 28, 28}, Schedule: "linear", PriorStd: 1,
			UNet: &UNet{Channels: 16, Mult: []int{1, 2, 2}, ResBlocks: 1, Groups: 8}}, 64},
		{"mlp128x3/batch256", Config{Kind: "mlp", Shape: []int{2}, Schedule: "linear", PriorStd: 1,
			MLP: &MLP{Width: 128, Depth: 3, Fourier: 2}}, 256},
	} {
		b.Run(c.name, func(b *testing.B) {
			params, err := c.config.Parameters()
			if err != nil {
				b.Fatal(err)
			}
			weights := map[string][]float32{}
			for _, p := range params {
				weights[p.Name] = p.Draw(1)
			}
			f, err := NewField(be, c.config, weights, c.batch)
			if err != nil {
				b.Fatal(err)
			}
			d := c.config.Dim()
			x, t, grad := make([]float32, c.batch*d), make([]float32, c.batch), make([]float32, c.batch*d)
			random.New(1, "bench", 0).Normal(x)
			for i := range t {
				t[i] = 0.5
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := f.Eval(x, t, nil, grad); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(c.batch)*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
		})
	}
}
