package training

import (
	"errors"
	"math"
	"testing"

	"vapo/lib/checkpoint"
	"vapo/lib/layer"
	"vapo/lib/potential"
	"vapo/lib/random"
)

// noisy returns a function that draws batches whose times are all in one of ten bins.
func noisy(t *testing.T, c potential.Config) func(bin, k int, b *Batch) error {
	t.Helper()
	path, err := c.Path()
	if err != nil {
		t.Fatal(err)
	}
	return func(bin, k int, b *Batch) error {
		index := uint64(1000*bin + k)
		random.New(1, "variance/data", index).Normal(b.X)
		random.New(1, "variance/noise", index).Normal(b.Noise)
		u := random.New(1, "variance/time", index)
		for i := range b.N() {
			b.SetTime(i, path, path.Draw((float64(bin)+u.Uniform64())/10))
		}
		return nil
	}
}

// drawn returns random weights of order one. Initial weights are not used, because some of them are 0.
func drawn(params []layer.Param) map[string][]float32 {
	w := map[string][]float32{}
	for _, p := range params {
		p.Init = layer.Init{Bound: 0.4}
		w[p.Name] = p.Draw(3)
	}
	return w
}

// GradientVariance agrees with the gradients of training steps. With beta1 = 0 and no clipping, Adam's first moment
// after a step is the gradient.
func TestGradientVarianceByHand(t *testing.T) {
	const batch, bins, batches = 5, 3, 4
	points := potential.Config{Kind: "mlp", Shape: []int{2}, Schedule: "linear", PriorStd: 1,
		MLP: &potential.MLP{Width: 9, Depth: 2, Fourier: 2}}
	dropping := potential.Config{Kind: "unet", Shape: []int{1, 4, 4}, Schedule: "vapo", PriorStd: 1,
		UNet: &potential.UNet{Channels: 4, Mult: []int{1, 2}, ResBlocks: 1, Groups: 2, Dropout: 0.3}}
	for _, be := range engines(t) {
		for _, c := range []potential.Config{points, dropping} {
			v, err := NewGradientVariance(be, c, "energy", batch, false)
			if err != nil {
				t.Fatal(err)
			}
			weights, fill := drawn(v.params), noisy(t, c)
			got, err := v.Measure(weights, bins, batches, fill)
			if err != nil {
				t.Fatal(err)
			}
			still := c
			if c.UNet != nil {
				u := *c.UNet
				u.Dropout = 0
				still.UNet = &u
			}
			o := adam(batch)
			o.Beta1, o.ClipNorm = 0, 0
			s, err := Potential(be, still, "energy", o, false)
			if err != nil {
				t.Fatal(err)
			}
			for bin := range bins {
				var grads [batches]map[string][]float32
				var squares float64
				b := s.NewBatch()
				for k := range batches {
					load(t, s, weights)
					if err := fill(bin, k, b); err != nil {
						t.Fatal(err)
					}
					m, err := s.Step(0, b)
					if err != nil {
						t.Fatal(err)
					}
					squares += m.GradNorm * m.GradNorm / batches
					if grads[k], err = s.group(checkpoint.AdamM); err != nil {
						t.Fatal(err)
					}
				}
				var mean float64
				for _, p := range s.Params {
					for i := range grads[0][p.Name] {
						var sum float64
						for _, g := range grads {
							sum += float64(g[p.Name][i])
						}
						mean += sum * sum / (batches * batches)
					}
				}
				want := BinVariance{Batches: batches, Variance: (squares - mean) * batches / (batches - 1), MeanSquare: mean}
				if !near(got[bin].Variance, want.Variance, squares, 1e-4) || !near(got[bin].MeanSquare, mean, squares, 1e-4) ||
					got[bin].Batches != batches {
					t.Errorf("%s, %s, bin %d: %+v, computed from the gradients %+v", be.Class(), c.Kind, bin, got[bin], want)
				}
			}
		}
	}
}

// If all batches are the same, the variance is 0. The estimate from 2 batches, averaged over repetitions, equals the
// estimate from many batches, so the estimate is unbiased.
func TestGradientVarianceHasNoBias(t *testing.T) {
	be := engines(t)[0]
	c := potential.Config{Kind: "mlp", Shape: []int{2}, Schedule: "linear", PriorStd: 1,
		MLP: &potential.MLP{Width: 4, Depth: 1}}
	v, err := NewGradientVariance(be, c, "matching", 3, false)
	if err != nil {
		t.Fatal(err)
	}
	weights, fill := drawn(v.params), noisy(t, c)
	same, err := v.Measure(weights, 1, 3, func(_, _ int, b *Batch) error { return fill(0, 0, b) })
	if err != nil {
		t.Fatal(err)
	}
	if same[0].Variance > 1e-12*same[0].MeanSquare || same[0].MeanSquare <= 0 {
		t.Errorf("the same batch three times: %+v, want a variance of 0 and a mean square above 0", same[0])
	}
	const pairs = 1000
	two, err := v.Measure(weights, pairs, 2, func(bin, k int, b *Batch) error { return fill(0, 2*bin+k, b) })
	if err != nil {
		t.Fatal(err)
	}
	all, err := v.Measure(weights, 1, 2*pairs, func(_, k int, b *Batch) error { return fill(0, k, b) })
	if err != nil {
		t.Fatal(err)
	}
	var mean, square, meanSquare float64
	for _, r := range two {
		mean += r.Variance / pairs
		square += r.Variance * r.Variance / pairs
		meanSquare += r.MeanSquare / pairs
	}
	deviation := math.Sqrt((square - mean*mean) / pairs)
	if math.Abs(mean-all[0].Variance) > 4*deviation {
		t.Errorf("variance %v ± %v from pairs, %v from all batches, want them to agree", mean, deviation, all[0].Variance)
	}
	if want := all[0].MeanSquare + all[0].Variance/2; math.Abs(meanSquare-want) > 0.1*want {
		t.Errorf("|mean g|² of pairs is %v, want |E g|² + variance/2 = %v", meanSquare, want)
	}
}

// The gradient of energy has more variance than that of matching at all times, most of all near the data. (By equation
// L5 their means are the same.)
func TestEnergyHasMoreVariance(t *testing.T) {
	be := engines(t)[0]
	c := potential.Config{Kind: "mlp", Shape: []int{8}, Schedule: "linear", PriorStd: 1,
		MLP: &potential.MLP{Width: 16, Depth: 2}}
	var ratio [10]float64
	var by [2][]BinVariance
	for i, objective := range []string{"matching", "energy"} {
		v, err := NewGradientVariance(be, c, objective, 64, false)
		if err != nil {
			t.Fatal(err)
		}
		if by[i], err = v.Measure(drawn(v.params), len(ratio), 12, noisy(t, c)); err != nil {
			t.Fatal(err)
		}
	}
	for bin := range ratio {
		ratio[bin] = by[1][bin].Variance / by[0][bin].Variance
		if !(ratio[bin] > 1.5) {
			t.Errorf("bin %d: variance %v of energy, want at least 1.5 times the %v of matching",
				bin, by[1][bin].Variance, by[0][bin].Variance)
		}
	}
	if !(ratio[9] > 5*ratio[4]) {
		t.Errorf("energy's variance over matching's by time: %.3g, want over 5 times as much in the last bin as in bin 4",
			ratio)
	}
	t.Logf("energy's variance over matching's by time: %.3g", ratio)
}

func TestGradientVarianceRefuses(t *testing.T) {
	be := engines(t)[0]
	c := potential.Config{Kind: "mlp", Shape: []int{2}, Schedule: "linear", PriorStd: 1,
		MLP: &potential.MLP{Width: 4, Depth: 1}}
	if _, err := NewGradientVariance(be, c, "hybrid?", 3, false); err == nil {
		t.Error("an unknown objective was accepted")
	}
	if _, err := NewGradientVariance(be, potential.Config{}, "matching", 3, false); err == nil {
		t.Error("an empty network configuration was accepted")
	}
	v, err := NewGradientVariance(be, c, "matching", 3, false)
	if err != nil {
		t.Fatal(err)
	}
	weights, fill := drawn(v.params), noisy(t, c)
	if _, err := v.Measure(weights, 1, 1, fill); err == nil {
		t.Error("the variance of a single batch was computed")
	}
	if _, err := v.Measure(weights, 0, 2, fill); err == nil {
		t.Error("a number of 0 bins was accepted")
	}
	short := errors.New("no more data")
	if _, err := v.Measure(weights, 1, 2, func(int, int, *Batch) error { return short }); !errors.Is(err, short) {
		t.Errorf("error %v, want that of the batch", err)
	}
	if _, err := v.Measure(weights, 1, 2, func(bin, k int, b *Batch) error {
		err := fill(bin, k, b)
		b.X[0] = float32(math.NaN())
		return err
	}); err == nil {
		t.Error("a gradient of NaN was measured")
	}
	delete(weights, v.params[0].Name)
	if _, err := v.Measure(weights, 1, 2, fill); err == nil {
		t.Error("weights with a tensor missing were accepted")
	}
}
