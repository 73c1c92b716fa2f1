package training

import (
	"fmt"

	"vapo/lib/backend"
	"vapo/lib/layer"
	"vapo/lib/potential"
)

// GradientVariance measures how much the loss gradient with respect to a potential's parameters varies from batch to
// batch, by time. The objectives differ in this variance: L4 and L5 have the same mean gradient, but the gradient of L4
// has far more variance, most of all near the data.
//
// Note: the gradient is computed by a separate graph. As an output of the training step it would be copied to the host
// at every step.
type GradientVariance struct {
	exe     backend.Executable
	params  []layer.Param
	batch   *Batch
	in, out []backend.Buffer // out: one buffer per parameter
	grads   [][]float32
}

// BinVariance holds the result for one bin.
type BinVariance struct {
	Batches int `json:"batches"` // K
	// Variance is the variance of a batch's gradient g, summed over all parameters. The estimate K/(K-1)·(mean |g|² -
	// |mean g|²) is unbiased.
	Variance float64 `json:"variance"`
	// MeanSquare is |mean g|². Its expectation is |E g|² + Variance/K.
	MeanSquare float64 `json:"mean_square"`
}

// NewGradientVariance compiles the gradient of an objective for batches of n samples. The batches include the loss
// weights of their times. Dropout is off, so only the choice of the batch causes variance. The compiled graph holds
// about as much memory as a training step; both take less with remat.
func NewGradientVariance(
	be backend.Backend, c potential.Config, objective string, n int, remat bool,
) (*GradientVariance, error) {
	s, err := potentialStep(c, objective, nil, n, remat)
	if err != nil {
		return nil, err
	}
	g := backend.Graph{Inputs: s.inputs, Outputs: s.grads}
	for _, p := range s.net.Params {
		g.State = append(g.State, backend.State{In: p.Node})
	}
	v := &GradientVariance{params: s.net.Params, batch: newBatch(batchSize{n, 1, c.Dim(), c.Classes}, true)}
	if v.exe, err = be.Compile(g); err != nil {
		return nil, fmt.Errorf("compile the gradient of a %s: %w", c.Kind, err)
	}
	v.in = make([]backend.Buffer, len(s.inputs))
	v.grads = room(s.grads, &v.out)
	return v, nil
}

// Measure returns the variance in each bin, estimated from independent batches, at least 2 per bin. weights are keyed
// by parameter name, as Trainer.Averages and Trainer.Weights return them. fill draws batch k of a bin, with all times
// in that bin, so the caller defines the bins.
func (v *GradientVariance) Measure(weights map[string][]float32, bins, batches int,
	fill func(bin, k int, b *Batch) error) ([]BinVariance, error) {
	if bins < 1 || batches < 2 {
		return nil, fmt.Errorf("gradient variance: %d bins of %d batches, expected at least 1 bin of at least 2 batches",
			bins, batches)
	}
	if err := loadWeights(v.exe, v.params, weights); err != nil {
		return nil, fmt.Errorf("gradient variance: %w", err)
	}
	mean := make([][]float64, len(v.grads))
	for i, g := range v.grads {
		mean[i] = make([]float64, len(g))
	}
	out := make([]BinVariance, bins)
	for bin := range out {
		for _, m := range mean {
			clear(m)
		}
		var around float64 // sum of squares around the mean so far (Welford, Technometrics 4, 1962)
		for k := range batches {
			if err := fill(bin, k, v.batch); err != nil {
				return nil, fmt.Errorf("gradient variance: batch %d of bin %d: %w", k, bin, err)
			}
			v.batch.bind(v.in, 0)
			if err := v.exe.Run(v.in, v.out); err != nil {
				return nil, fmt.Errorf("gradient variance: batch %d of bin %d: %w", k, bin, err)
			}
			for i, g := range v.grads {
				for j, x := range g {
					d := float64(x) - mean[i][j]
					mean[i][j] += d / float64(k+1)
					around += float64(d * (float64(x) - mean[i][j]))
				}
			}
		}
		r := BinVariance{Batches: batches, Variance: around / float64(batches-1)}
		for _, m := range mean {
			for _, x := range m {
				r.MeanSquare += float64(x * x)
			}
		}
		if !finite(r.Variance + r.MeanSquare) {
			return nil, fmt.Errorf("gradient variance: the gradient in bin %d is not finite", bin)
		}
		out[bin] = r
	}
	return out, nil
}
