package watch

import (
	"vapo/lib/backend"
	"vapo/lib/dataset"
	"vapo/lib/potential"
	"vapo/lib/random"
	"vapo/lib/training"
	"vapo/stages/train/internal/data"
)

// Measurement holds the variance of the gradient across batches after Step steps, for each bin of training time.
type Measurement struct {
	Step int64                  `json:"step"`
	Bins []training.BinVariance `json:"bins"`
}

// varianceSamples is the number of training samples, counted from the first, from which batches are drawn.
const varianceSamples = 10000

// Variance measures the variance of the gradient. It draws separate batches, each with the size of a micro-batch. A nil
// Variance measures nothing.
type Variance struct {
	v       *training.GradientVariance
	every   int64
	batches int // number of batches per bin
	draws   *data.Batches
	samples dataset.Set
}

// NewVariance compiles the gradient for batches of n samples. The method At then measures its variance every `every`
// steps. NewVariance returns nil if every is 0.
func NewVariance(be backend.Backend, c potential.Config, objective string, n, every, batches int,
	draws *data.Batches, remat bool) (*Variance, error) {
	if every == 0 {
		return nil, nil
	}
	first, err := draws.Source.Head(varianceSamples)
	if err != nil {
		return nil, err
	}
	v, err := training.NewGradientVariance(be, c, objective, n, remat)
	if err != nil {
		return nil, err
	}
	return &Variance{v: v, every: int64(every), batches: batches, draws: draws, samples: first}, nil
}

// At measures the variance with the weights of the given step. It returns nil if no measurement is due. The batches
// depend only on the seed and the step.
func (v *Variance) At(t *training.Trainer, step int64, h *History) ([]training.BinVariance, error) {
	if v == nil || step%v.every != 0 {
		return nil, nil
	}
	weights, err := t.Weights()
	if err != nil {
		return nil, err
	}
	out, err := v.v.Measure(weights, training.BinCount, v.batches, func(bin, k int, b *training.Batch) error {
		index := (uint64(step)*training.BinCount+uint64(bin))*uint64(v.batches) + uint64(k)
		v.fill(b, random.New(v.draws.Seed, "train/variance", index), bin)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i].Variance, out[i].MeanSquare = Round(out[i].Variance, 5), Round(out[i].MeanSquare, 5)
	}
	h.Variance = &Measurement{Step: step, Bins: out}
	return out, nil
}

// fill draws a batch whose times all lie in one bin.
func (v *Variance) fill(b *training.Batch, from *random.Source, bin int) {
	clear(b.Labels)
	for row := range b.N() {
		i := from.IntN(v.samples.Len())
		v.samples.Row(b.Sample(row), i)
		if v.draws.Labels != nil {
			b.SetLabel(row, int(v.draws.Labels[i]))
		}
	}
	from.Normal(b.Noise)
	for row := range b.N() {
		u := (float64(bin) + (float64(row)+from.Uniform64())/float64(b.N())) / training.BinCount
		b.SetTime(row, v.draws.Path, v.draws.Path.Draw(u))
	}
}
