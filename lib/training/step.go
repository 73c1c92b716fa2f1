// Package training compiles one optimiser step of a network, forward pass to updated weights, as one graph, and moves
// its state between the engine and checkpoints; and it keeps watch over the steps: Guard skips those that a spike of the
// gradient would spoil, Bins and GradientVariance tell at which times of the path the loss and its noise are.
//
// A step's inputs are pure functions of (seed, step) drawn by the caller and its state is what a checkpoint holds, so
// a run that is killed and resumed computes what it would have computed, to the bit on one engine.
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

// Step is a compiled optimiser step.
type Step struct {
	Kind   string // of the checkpoints: checkpoint.Potential or checkpoint.Classifier
	Config json.RawMessage
	Params []layer.Param
	// Batch holds the float32 inputs of one micro-batch, to be filled before it is run; see Potential and Classifier.
	Batch [][]float32
	// Seed is that of the dropout masks, which are a function of it and the number of the micro-batch since the start;
	// set before Run. Networks that drop nothing do not look at it.
	Seed uint64
	// Limit is the gradient norm above which a step is skipped, see Guard; 0: none. Set before Run.
	Limit float64
	// PerSample tells of the micro-batch run last, sample by sample. A classifier leaves it empty.
	PerSample PerSample

	optim   optim.Config
	values  []float64   // of the hyperparameters
	hyper   [][]float32 // the same, as the engine takes them
	key     []float32   // of the masks: graphop.PhiloxKey; nil where nothing is dropped
	exe     backend.Executable
	in, out []backend.Buffer
	scalars [][]float32 // loss, gradient norm, applied, and for a potential the root mean square of its gradient
	at      int64       // the step in progress
	next    int         // its next micro-batch
	squares float64     // sum over its micro-batches of the mean squares of a potential's gradient
}

// PerSample are values of every sample of a micro-batch of N: slices [N] that the next run overwrites.
type PerSample struct {
	Losses  []float32 // loss per dimension, before the weight of the sample's time
	Squares []float32 // mean over dimensions of |grad_x Psi|², Psi the potential of the flow (see homotopy.Schedule)
	Values  []float32 // Psi
}

// Metrics are the scalars of one step, over all its micro-batches.
type Metrics struct {
	Loss      float64
	GradNorm  float64 // of the parameters' gradient, before clipping
	Applied   bool    // false where the step was skipped: Spike or NonFinite says why
	Spike     bool    // the gradient's norm was above Step.Limit
	NonFinite bool    // the loss or the gradient's norm was not finite
	FieldRMS  float64 // root mean square of the velocity per unit of the integration variable; 0 for a classifier
	Rate      float64 // learning rate
}

// compile builds the step that minimises loss [1]. fieldRMS [1] and perSample, three of [N, 1] in the order of
// PerSample, are outputs too where there are any.
func (s *Step) compile(be backend.Backend, b *layer.Builder, inputs []*graphop.Node, loss, fieldRMS *graphop.Node, perSample ...*graphop.Node) error {
	s.Params = b.Params
	if rows := inputs[0].Shape()[0]; s.optim.BatchImages != rows*s.optim.Micro() {
		return fmt.Errorf("the optimiser counts %d samples a step, expected %d: %d micro-batches of %d", s.optim.BatchImages, rows*s.optim.Micro(), s.optim.Micro(), rows)
	}
	grads, err := graphop.Grad(loss, b.Nodes()...)
	if err != nil {
		return err
	}
	u, err := optim.Step(s.optim, loss, b.Nodes(), grads)
	if err != nil {
		return err
	}
	g := backend.Graph{
		Inputs:  slices.Concat(inputs, u.Inputs),
		State:   u.State,
		Outputs: []*graphop.Node{u.Loss, u.GradNorm, u.Applied},
	}
	if fieldRMS != nil {
		g.Outputs = append(g.Outputs, fieldRMS)
	}
	scalars := len(g.Outputs)
	g.Outputs = append(g.Outputs, perSample...)
	if b.Key != nil {
		g.Inputs = append(g.Inputs, b.Key)
	}
	if s.exe, err = be.Compile(g); err != nil {
		return fmt.Errorf("compile a training step: %w", err)
	}
	s.Batch = room(inputs, &s.in)
	s.hyper = room(u.Inputs, &s.in)
	s.values = make([]float64, 0, len(s.hyper))
	if b.Key != nil {
		s.key = room([]*graphop.Node{b.Key}, &s.in)[0]
	}
	s.scalars = room(g.Outputs[:scalars], &s.out)
	if v := room(perSample, &s.out); len(v) > 0 {
		s.PerSample = PerSample{Losses: v[0], Squares: v[1], Values: v[2]}
	}
	return nil
}

// room makes a slice for the value of each node and appends them to the buffers of a run.
func room(nodes []*graphop.Node, to *[]backend.Buffer) (all [][]float32) {
	for _, n := range nodes {
		v := make([]float32, n.Shape().TotalSize())
		all = append(all, v)
		*to = append(*to, backend.F32(v))
	}
	return all
}

// Micro is the number of micro-batches of a step.
func (s *Step) Micro() int { return s.optim.Micro() }

// Run takes the step of the given number (0 for the first) on what Batch holds, where a step is one batch.
func (s *Step) Run(step int64) (Metrics, error) {
	if s.Micro() != 1 {
		return Metrics{}, fmt.Errorf("training step %d: it has %d micro-batches, which are run one by one", step, s.Micro())
	}
	m, _, err := s.RunMicro(step, 0)
	return m, err
}

// RunMicro runs micro-batch micro of a step, which Batch holds: 0 to Micro()-1 one after the other, each counting the
// same. With the last one the step is taken, done is true and the metrics are those of the step; before it they are
// those of no step. A step may be left and another one, or itself, begun at 0.
func (s *Step) RunMicro(step int64, micro int) (m Metrics, done bool, err error) {
	k := s.Micro()
	if micro < 0 || micro >= k || micro > 0 && (step != s.at || micro != s.next) {
		return m, false, fmt.Errorf("training step %d: micro-batch %d of %d out of turn", step, micro, k)
	}
	h := s.optim.Hyper(step)
	h.Limit, h.First, h.Last = s.Limit, micro == 0, micro == k-1
	s.values = s.optim.Values(h, s.values[:0])
	for i, v := range s.values {
		s.hyper[i][0] = float32(v)
	}
	if s.key != nil {
		for i, v := range graphop.PhiloxKey(s.Seed, uint64(step)*uint64(k)+uint64(micro)) {
			s.key[i] = float32(v)
		}
	}
	s.next = k // nothing follows a run that failed
	if err := s.exe.Run(s.in, s.out); err != nil {
		return m, false, fmt.Errorf("training step %d: %w", step, err)
	}
	s.at, s.next = step, micro+1
	if len(s.scalars) > 3 {
		if micro == 0 {
			s.squares = 0
		}
		rms := float64(s.scalars[3][0])
		s.squares += float64(rms * rms)
		m.FieldRMS = math.Sqrt(s.squares / float64(micro+1))
	}
	m.Loss, m.GradNorm, m.Rate = float64(s.scalars[0][0]), float64(s.scalars[1][0]), h.Rate
	m.Applied = s.scalars[2][0] != 0
	finite := func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
	if h.Last && !m.Applied {
		m.NonFinite = !finite(m.Loss) || !finite(m.GradNorm)
		m.Spike = !m.NonFinite
	}
	return m, h.Last, nil
}

// SwapBatch makes next, slices of the lengths of Batch's, what the next Run works on, and returns what Batch was: so one
// batch can be drawn while another is computed on.
func (s *Step) SwapBatch(next [][]float32) [][]float32 {
	old := s.Batch
	s.Batch = next
	for i, v := range next {
		s.in[i] = backend.F32(v)
	}
	return old
}

// MemoryBytes is what the compiled step holds.
func (s *Step) MemoryBytes() int64 { return s.exe.MemoryBytes() }
