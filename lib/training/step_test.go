package training

import (
	"math"
	"testing"
	"time"

	"vapo/lib/backend/tape"
	"vapo/lib/layer"
	"vapo/lib/optim"
	"vapo/lib/potential"
	"vapo/lib/random"
)

// adam returns options of a plain optimiser for steps of batch samples. Its moving average has the decay 0.999 per
// step.
func adam(batch int) optim.Config {
	return optim.Config{LearningRate: 1e-3, Decay: "constant", Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, ClipNorm: 1,
		BatchImages: batch, EMAHalfLifeImages: []float64{-float64(batch) / math.Log2(0.999)}}
}

func mlpConfig() potential.Config {
	return potential.Config{Kind: "mlp", Shape: []int{2}, Schedule: "linear", PriorStd: 1,
		MLP: &potential.MLP{Width: 128, Depth: 3, Fourier: 4}}
}

func unetConfig(ch int, mult ...int) potential.Config {
	return potential.Config{Kind: "unet", Shape: []int{1, 28, 28}, Schedule: "linear", PriorStd: 1,
		UNet: &potential.UNet{Channels: ch, Mult: mult, ResBlocks: 1, Groups: 8}}
}

func fill(b *Batch, c potential.Config, step uint64) {
	path, _ := c.Path()
	random.New(1, "test/data", step).Normal(b.X)
	random.New(1, "test/noise", step).Normal(b.Noise)
	u := random.New(1, "test/time", step)
	for i := range b.N() {
		b.SetTime(i, path, path.Draw(u.Uniform64()))
	}
}

func BenchmarkStep(b *testing.B) {
	be := tape.Tape{}
	for _, c := range []struct {
		name      string
		config    potential.Config
		objective string
		batch     int
	}{
		{"mlp128x3/matching", mlpConfig(), "matching", 512},
		{"mlp128x3/energy", mlpConfig(), "energy", 512},
		{"unet16-124", unetConfig(16, 1, 2, 4), "matching", 64},
		{"unet16-122", unetConfig(16, 1, 2, 2), "matching", 64},
		{"unet32-12", unetConfig(32, 1, 2), "matching", 64},
	} {
		b.Run(c.name, func(b *testing.B) {
			start := time.Now()
			s, err := Potential(be, c.config, c.objective, adam(c.batch), false)
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Initialise(1); err != nil {
				b.Fatal(err)
			}
			compile := time.Since(start)
			batch := s.NewBatch()
			fill(batch, c.config, 0)
			b.ReportAllocs()
			i := int64(0)
			for b.Loop() {
				if _, err := s.Step(i, batch); err != nil {
					b.Fatal(err)
				}
				i++
			}
			b.ReportMetric(float64(compile.Milliseconds()), "compile-ms")
			b.ReportMetric(float64(s.MemoryBytes())/1e6, "MB")
			b.ReportMetric(float64(layer.Count(s.Params)), "params")
		})
	}
}
