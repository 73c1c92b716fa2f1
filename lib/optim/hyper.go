package optim

import (
	"cmp"
	"fmt"
	"math"

	"vapo/lib/average"
	"vapo/lib/portable"
)

// Hyper holds the hyperparameters of one step. They are computed on the host in float64 and fed to the graph as inputs
// of shape [1].
type Hyper struct {
	Rate     float64 // learning rate
	Correct1 float64 // 1/(1-beta1^k), Adam's bias corrections at step k = 1, 2, ...
	Correct2 float64
	// For ClipStd: Before2 is Correct2 of the previous step. ClipFloor is ClipStdFloor, or math.MaxFloat32 in the first
	// step, which is not clipped.
	Before2, ClipFloor float64
	// AverageDecays holds min(0.5^(batch/half-life), (1+k)/(10+k)) for each half-life, then (1-1/k)^(gamma+1) for each
	// profile. The second term of the minimum makes averages forget the initial weights quickly in early steps.
	AverageDecays [MaxAverages]float64

	// Limit is the gradient norm above which the step is skipped; 0 means no limit.
	Limit float64
	// First and Last mark the first and last micro-batch of a step. An undivided batch is both first and last.
	First, Last bool
}

// Hyper returns the hyperparameters of the given step, counted from 0, for an undivided batch and without a limit.
func (c Config) Hyper(step int64) Hyper {
	k := float64(step + 1)
	rate := c.LearningRate
	if c.WarmupSteps > 0 {
		rate *= min(1, k/float64(c.WarmupSteps))
	}
	if c.Decay == "cosine" {
		done := min(1, float64(step)/float64(c.HorizonSteps))
		rate *= 0.5 * (1 + portable.Cos(math.Pi*done))
	}
	h := Hyper{
		Rate:     rate,
		Correct1: 1 / (1 - portable.Pow(c.Beta1, k)),
		Correct2: 1 / (1 - portable.Pow(c.Beta2, k)),
		Before2:  1, ClipFloor: math.MaxFloat32,
		First: true, Last: true,
	}
	if step > 0 {
		h.Before2, h.ClipFloor = 1/(1-portable.Pow(c.Beta2, k-1)), ClipStdFloor
	}
	for i, halfLife := range c.EMAHalfLifeImages {
		h.AverageDecays[i] = min(c.averageDecay(halfLife), (1+k)/(10+k))
	}
	for i, std := range c.EMAProfiles {
		gamma, _ := average.Gamma(std) // Check reports errors
		h.AverageDecays[len(c.EMAHalfLifeImages)+i] = average.Decay(gamma, step+1)
	}
	return h
}

// inputs lists the names of the hyperparameter inputs.
func (c Config) inputs() []string {
	names := []string{"rate", "correct1", "correct2", "limit"}
	if c.ClipStd > 0 {
		names = append(names, "before2", "clip-floor")
	}
	for i := range c.averages() {
		names = append(names, averageInput(i))
	}
	if c.Micro() > 1 {
		names = append(names, "first", "last")
	}
	return names
}

func averageInput(k int) string { return fmt.Sprintf("average-decay%d", k) }

// Values appends h to dst in the order of Update.Inputs.
func (c Config) Values(h Hyper, dst []float64) []float64 {
	limit := cmp.Or(h.Limit, math.MaxFloat32) // above any norm whose square is finite
	dst = append(dst, h.Rate, h.Correct1, h.Correct2, limit)
	if c.ClipStd > 0 {
		dst = append(dst, h.Before2, h.ClipFloor)
	}
	dst = append(dst, h.AverageDecays[:c.averages()]...)
	if c.Micro() > 1 {
		dst = append(dst, flag(h.First), flag(h.Last))
	}
	return dst
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
