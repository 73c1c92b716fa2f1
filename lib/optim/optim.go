// Package optim builds the optimiser as nodes of the training graph: Adam with decoupled weight decay, warm-up,
// learning-rate decay, clipping, gradient accumulation and exponential moving averages of the weights. One graph thus
// contains a whole training step, and every engine runs the same graph.
//
// A step that would make the state non-finite, or whose gradient norm is above a limit, changes nothing. The graph
// itself then selects the old values, so the last good state survives even if the engine reuses its buffers.
package optim

import (
	"fmt"
	"math"
	"slices"

	"vapo/lib/average"
	"vapo/lib/checkpoint"
	"vapo/lib/portable"
)

// Config holds the options of the optimiser. Zero values are not defaults; the train stage defines the defaults.
type Config struct {
	LearningRate float64 // the largest rate
	WarmupSteps  int     // linear from 0
	Decay        string  // "constant" or "cosine" to 0 at HorizonSteps
	HorizonSteps int
	Beta1, Beta2 float64
	Epsilon      float64
	// WeightDecay is lambda of AdamW (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2): a step also subtracts
	// rate·lambda·p from every parameter p. With 0 the optimiser is Adam. As in PyTorch's AdamW, lambda is multiplied
	// by the learning rate, and biases and gains of normalisations decay too. Unlike in PyTorch, parameters that the
	// loss does not depend on decay as well.
	WeightDecay float64
	ClipNorm    float64 // bound on the global gradient norm; 0 means no clipping
	// ClipStd c > 0 clips every element of the gradient, after ClipNorm, to ±(c·sqrt(vhat) + ClipStdFloor), where vhat
	// is Adam's bias-corrected second moment before the step. The first step has no such moment and is not clipped. The
	// method's released code (arXiv 2504.16262) has c = 3. With 0 there is no such clipping.
	ClipStd float64
	// Accumulate is the number of micro-batches whose mean gradient a step applies. With 0 or 1 the batch is not
	// divided.
	Accumulate int
	// BatchImages is the number of samples of a step, over all its micro-batches.
	BatchImages int
	// EMAHalfLifeImages are the half-lives of the weights' moving averages. They are in samples, so that they do not
	// depend on the batch size (as in Karras et al., arXiv 2312.02696). The first average is the main one. An average
	// with half-life 0 equals the weights.
	EMAHalfLifeImages []float64
	// EMAProfiles lists the relative standard deviations of profiles (see package average). They add further averages,
	// after those of EMAHalfLifeImages. A skipped step changes no average, although it counts as a step of the profile.
	EMAProfiles []float64
}

// ClipStdFloor is the smallest bound of ClipStd. Without it, an element whose gradients were 0 so far could never move.
// The value is that of the released code.
const ClipStdFloor = 0.1

// MaxAverages bounds the number of moving averages, because each is a copy of the weights.
const MaxAverages = 8

// MaxAccumulate bounds the number of micro-batches of a step. It is far above any useful number.
const MaxAccumulate = 1 << 16

// Check returns an error that names the first invalid option.
func (c Config) Check() error {
	// Steps run in float32. A value that rounds to 0 or infinity in float32 would make the state non-finite even with a
	// finite gradient.
	normal := func(v float64) bool { return float32(v) > 0 && !math.IsInf(float64(float32(v)), 0) }
	switch {
	case !normal(c.LearningRate):
		return fmt.Errorf("learning rate is %v, expected a positive number in the range of float32", c.LearningRate)
	case c.WarmupSteps < 0:
		return fmt.Errorf("warm-up is %d steps, expected 0 or more", c.WarmupSteps)
	case c.Decay != "constant" && c.Decay != "cosine":
		return fmt.Errorf("learning rate decay is %q, expected constant or cosine", c.Decay)
	case c.Decay == "cosine" && c.HorizonSteps <= 0:
		return fmt.Errorf("cosine decay needs a horizon, got %d steps", c.HorizonSteps)
	case !(c.Beta1 >= 0 && c.Beta1 < 1) || !(c.Beta2 >= 0 && c.Beta2 < 1):
		return fmt.Errorf("adam's betas are %v and %v, expected numbers in [0, 1)", c.Beta1, c.Beta2)
	case !normal(c.Epsilon):
		return fmt.Errorf("adam's epsilon is %v, expected a positive number in the range of float32", c.Epsilon)
	case !(c.WeightDecay >= 0 && c.WeightDecay*c.LearningRate < 1):
		return fmt.Errorf("weight decay is %v, expected 0 (none) or more and, at a learning rate of %v, less than %.3g, "+
			"which would subtract whole weights", c.WeightDecay, c.LearningRate, 1/c.LearningRate)
	case c.ClipNorm != 0 && !normal(c.ClipNorm):
		return fmt.Errorf("the gradient norm bound is %v, expected 0 (none) or a positive number in the range of float32",
			c.ClipNorm)
	case c.ClipStd != 0 && !normal(c.ClipStd):
		return fmt.Errorf("the bound on a gradient element is %v standard deviations, expected 0 (none) or "+
			"a positive number in the range of float32", c.ClipStd)
	case c.Accumulate < 0 || c.Accumulate > MaxAccumulate:
		return fmt.Errorf("a step of %d micro-batches, expected 1 to %d", c.Accumulate, MaxAccumulate)
	case c.BatchImages < c.Micro() || c.BatchImages%c.Micro() != 0:
		return fmt.Errorf("a step of %d samples in %d micro-batches, expected equal micro-batches of 1 or more samples",
			c.BatchImages, c.Micro())
	case len(c.EMAHalfLifeImages) < 1 || c.averages() > MaxAverages:
		return fmt.Errorf("%d moving averages of the weights, expected at least one half-life and at most %d averages",
			c.averages(), MaxAverages)
	}
	for i, std := range c.EMAProfiles {
		if _, err := average.Gamma(std); err != nil {
			return err
		}
		if slices.Contains(c.EMAProfiles[:i], std) {
			return fmt.Errorf("two averages have the relative standard deviation %v, expected different ones", std)
		}
	}
	for _, h := range c.EMAHalfLifeImages {
		if !(h >= 0) || float32(c.averageDecay(h)) >= 1 { // in float32 the average would never change
			return fmt.Errorf("the moving average's half-life is %v samples, expected 0 or more and at most %.3g "+
				"at %d samples per step", h, float64(c.BatchImages)*longestSteps, c.BatchImages)
		}
	}
	return nil
}

// longestSteps is the half-life h, in steps, above which the decay rounds to 1 in float32: 1 - ln 2/h = 1 - 2^-25.
const longestSteps = math.Ln2 * (1 << 25)

// Micro is the number of micro-batches of a step, 1 or more.
func (c Config) Micro() int { return max(1, c.Accumulate) }

// averages is the number of moving averages.
func (c Config) averages() int { return len(c.EMAHalfLifeImages) + len(c.EMAProfiles) }

// averageDecay returns the share of the old average that remains after one step.
func (c Config) averageDecay(halfLife float64) float64 {
	return portable.Exp2(-float64(c.BatchImages) / halfLife)
}

// Sum is the prefix of the state that holds the gradients accumulated within a step. This state has no meaning between
// steps, so it is not part of a checkpoint.
const Sum = "acc/"

// Groups lists the prefixes, defined in package checkpoint, of the state that is kept from step to step.
func (c Config) Groups() []string {
	groups := []string{checkpoint.Param}
	for k := range c.averages() {
		groups = append(groups, checkpoint.Average(k))
	}
	return append(groups, checkpoint.AdamM, checkpoint.AdamV)
}
