// Package training compiles one optimiser step of a network, from the batch to the updated weights, as one graph, and
// moves its state between the engine and checkpoints. potentialStep shows the whole step of a potential in the paper's
// terms. The package also monitors training: Guard skips steps with gradient spikes, and Bins and GradientVariance
// resolve the loss and the noise of its gradient by time.
//
// The caller draws the inputs of a step as pure functions of (seed, step), and a checkpoint contains the whole state. A
// run that is killed and resumed therefore computes the same values as an uninterrupted run, bit for bit if the engine
// is the same.
package training

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"vapo/lib/backend"
	"vapo/lib/graphop"
	"vapo/lib/layer"
	"vapo/lib/optim"
)

// Trainer trains a network. It holds the compiled training step and the state.
type Trainer struct {
	Params []layer.Param
	// Seed and the number of micro-batches since the start of training determine the dropout masks.
	Seed uint64
	// Limit is the gradient norm above which Step skips a step (see Guard). 0 means no limit.
	Limit float64
	// PerSample holds values of each sample of the last step, in the row order of the batch. It is empty for a
	// classifier.
	PerSample PerSample

	kind    string          // of the checkpoints: checkpoint.Potential or checkpoint.Classifier
	config  json.RawMessage // of the network
	optim   optim.Config
	size    batchSize
	exe     backend.Executable
	in, out []backend.Buffer
	values  []float64   // values of the hyperparameters
	hyper   [][]float32 // the input slices of the hyperparameters
	key     []float32   // of the dropout masks: graphop.PhiloxKey; nil without dropout
	scalars [][]float32 // loss, gradient norm, applied; for a potential also the RMS of grad_x Psi
}

// PerSample holds values of N samples in slices [N]. The next step overwrites the slices.
type PerSample struct {
	Losses  []float32 // loss per dimension, without the weight of the sample's time
	Squares []float32 // mean over dimensions of |u|²; u is the gradient of Psi, or the output of a network without Psi
	Values  []float32 // Psi; without a potential, zeros
}

// Metrics are the scalars of one step, over all its micro-batches.
type Metrics struct {
	Loss      float64
	GradNorm  float64 // of the parameters' gradient, before clipping
	Applied   bool    // false if the step was skipped, because of a Spike or NonFinite
	Spike     bool    // the gradient's norm was above Trainer.Limit
	NonFinite bool    // the loss or the gradient's norm was not finite
	FieldRMS  float64 // root mean square of the velocity per unit of the integration variable; 0 for a classifier
	Rate      float64 // learning rate
}

// newTrainer compiles a step and allocates its inputs and outputs.
func newTrainer(
	be backend.Backend, kind string, config any, o optim.Config, s *stepGraph, size batchSize,
) (*Trainer, error) {
	raw, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	t := &Trainer{kind: kind, config: raw, Params: s.net.Params, optim: o, size: size}
	u := s.update
	g := backend.Graph{
		Inputs:  slices.Concat(s.inputs, u.Inputs),
		State:   u.State,
		Outputs: []*graphop.Node{u.Loss, u.GradNorm, u.Applied},
	}
	timed := s.terms.Loss != nil
	if timed {
		g.Outputs = append(g.Outputs, s.terms.FieldRMS)
	}
	scalars := len(g.Outputs)
	if timed {
		g.Outputs = append(g.Outputs, s.terms.Losses, s.terms.Squares)
		if s.terms.Values != nil {
			g.Outputs = append(g.Outputs, s.terms.Values)
		}
		v := func() []float32 { return make([]float32, t.size.n) }
		t.PerSample = PerSample{v(), v(), v()}
	}
	if s.net.Key != nil {
		g.Inputs = append(g.Inputs, s.net.Key)
	}
	if t.exe, err = be.Compile(g); err != nil {
		return nil, fmt.Errorf("compile a training step: %w", err)
	}
	t.in = make([]backend.Buffer, len(s.inputs))
	t.hyper = room(u.Inputs, &t.in)
	t.values = make([]float64, 0, len(t.hyper))
	if s.net.Key != nil {
		t.key = room([]*graphop.Node{s.net.Key}, &t.in)[0]
	}
	t.scalars = room(g.Outputs[:scalars], &t.out)
	t.out = append(t.out, make([]backend.Buffer, len(g.Outputs)-scalars)...)
	return t, nil
}

// room allocates a slice for the value of each node and appends the slices to the buffers of a run.
func room(nodes []*graphop.Node, to *[]backend.Buffer) (all [][]float32) {
	for _, n := range nodes {
		v := make([]float32, n.Shape().TotalSize())
		all = append(all, v)
		*to = append(*to, backend.F32(v))
	}
	return all
}

// NewBatch allocates the batch of a step.
func (t *Trainer) NewBatch() *Batch { return newBatch(t.size, len(t.PerSample.Values) > 0) }

// Upload copies a batch to the engine, for the next Step on it. It may be called while Step computes on another batch,
// so that a device need not wait for its inputs. The batch must not change before its Step has ended.
func (t *Trainer) Upload(b *Batch) error {
	b.uploaded = slices.Grow(b.uploaded[:0], t.optim.Micro())[:t.optim.Micro()]
	for k := range b.uploaded {
		in := slices.Grow(b.uploaded[k][:0], len(t.in))[:len(t.in)]
		in = in[:b.bind(in, k)]
		for i, v := range in {
			var err error
			if in[i], err = t.exe.Upload(i, v); err != nil {
				b.uploaded = b.uploaded[:0]
				return fmt.Errorf("training batch: %w", err)
			}
		}
		b.uploaded[k] = in
	}
	return nil
}

// Step takes one training step on a batch from NewBatch. step counts from 0. Step runs the micro-batches one after the
// other; all have the same weight.
func (t *Trainer) Step(step int64, b *Batch) (m Metrics, err error) {
	h := t.optim.Hyper(step)
	h.Limit = t.Limit
	micro := t.optim.Micro()
	var squares float64 // sum over the micro-batches of the mean square of a potential's gradient
	for k := range micro {
		h.First, h.Last = k == 0, k == micro-1
		t.values = t.optim.Values(h, t.values[:0])
		for i, v := range t.values {
			t.hyper[i][0] = float32(v)
		}
		if t.key != nil {
			for i, v := range graphop.PhiloxKey(t.Seed, uint64(step)*uint64(micro)+uint64(k)) {
				t.key[i] = float32(v)
			}
		}
		b.bind(t.in, k)
		if len(b.uploaded) > 0 {
			copy(t.in, b.uploaded[k])
		}
		perSample := [...][]float32{t.PerSample.Losses, t.PerSample.Squares, t.PerSample.Values}
		for i := range t.out[len(t.scalars):] {
			t.out[len(t.scalars)+i] = backend.F32(part(perSample[i], k, micro))
		}
		if err := t.exe.Run(t.in, t.out); err != nil {
			return m, fmt.Errorf("training step %d: %w", step, err)
		}
		if len(t.scalars) > 3 {
			rms := float64(t.scalars[3][0])
			squares += float64(rms * rms)
		}
	}
	b.uploaded = b.uploaded[:0]
	m.Loss, m.GradNorm, m.Rate = float64(t.scalars[0][0]), float64(t.scalars[1][0]), h.Rate
	m.FieldRMS = math.Sqrt(squares / float64(micro))
	m.Applied = t.scalars[2][0] != 0
	if !m.Applied {
		m.NonFinite = !finite(m.Loss) || !finite(m.GradNorm)
		m.Spike = !m.NonFinite
	}
	return m, nil
}

func finite(v float64) bool { return v-v == 0 }

// MemoryBytes returns the memory, in bytes, that the compiled step holds.
func (t *Trainer) MemoryBytes() int64 { return t.exe.MemoryBytes() }
