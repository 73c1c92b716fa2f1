package training

import (
	"fmt"
	"math"

	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/graphop"
	"vapo/lib/layer"
	"vapo/lib/potential"
)

// GradientVariance measures how much the gradient of a potential's parameters differs from batch to batch, at batches
// of given times. It is what tells the objectives apart: L4 and L5 have the same mean gradient, and L4's is far noisier,
// most of all near the data (METHOD.md, L5).
//
// Note: the gradient is an output of a graph of its own and not of the training step's, which would have to bring it to
// the host at every step.
type GradientVariance struct {
	exe     backend.Executable
	params  []layer.Param
	batch   [][]float32
	in, out []backend.Buffer // out: a buffer a parameter
	grads   [][]float32
}

// BinVariance is a measurement at one bin of times.
type BinVariance struct {
	Batches int `json:"batches"` // K
	// Variance is the total variance of a batch's gradient, the sum over all parameters: K/(K-1)·(mean |g|² - |mean g|²),
	// without bias.
	Variance float64 `json:"variance"`
	// MeanSquare is |mean g|². Its expectation is |E g|² + Variance/K.
	MeanSquare float64 `json:"mean_square"`
}

// NewGradientVariance compiles the gradient of an objective, with the weights of times that the batches bring, for
// batches of the given size. Nothing is dropped, so that only the batches differ. It holds about the memory of a
// training step.
func NewGradientVariance(be backend.Backend, c potential.Config, objective string, batch int) (*GradientVariance, error) {
	b, inputs, terms, err := potentialLoss(c, objective, batch, false)
	if err != nil {
		return nil, err
	}
	grads, err := graphop.Grad(terms.Loss, b.Nodes()...)
	if err != nil {
		return nil, err
	}
	g := backend.Graph{Inputs: inputs, Outputs: grads}
	for _, p := range b.Params {
		g.State = append(g.State, backend.State{In: p.Node})
	}
	v := &GradientVariance{params: b.Params}
	if v.exe, err = be.Compile(g); err != nil {
		return nil, fmt.Errorf("compile the gradient of a %s: %w", c.Kind, err)
	}
	v.batch, v.grads = room(inputs, &v.in), room(grads, &v.out)
	return v, nil
}

// Measure returns the variance at each of a number of bins from batches >= 2 independent batches in each. weights are by
// parameter name, as Step.Averages and Step.Weights give them. fill draws batch k of a bin, all of its samples at times
// of that bin, into slices like those of a potential's Step.Batch; what the bins are is up to it.
func (v *GradientVariance) Measure(weights map[string][]float32, bins, batches int, fill func(bin, k int, batch [][]float32) error) ([]BinVariance, error) {
	if bins < 1 || batches < 2 {
		return nil, fmt.Errorf("gradient variance: %d bins of %d batches, expected 1 or more of at least 2", bins, batches)
	}
	for _, p := range v.params {
		w, ok := weights[p.Name]
		if !ok {
			return nil, fmt.Errorf("gradient variance: the weights lack %s", p.Name)
		}
		if err := v.exe.Load(checkpoint.Param+p.Name, backend.F32(w)); err != nil {
			return nil, fmt.Errorf("gradient variance: %w", err)
		}
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
		if sum := r.Variance + r.MeanSquare; math.IsNaN(sum) || math.IsInf(sum, 0) {
			return nil, fmt.Errorf("gradient variance: the gradient at bin %d is not finite", bin)
		}
		out[bin] = r
	}
	return out, nil
}
