package training

import (
	"fmt"

	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/graphop"
	"vapo/lib/layer"
	"vapo/lib/potential"
)

// TestLoss computes the loss of a potential on samples that it was not trained on, by time.
type TestLoss struct {
	exe     backend.Executable
	params  []layer.Param
	batch   *Batch
	in, out []backend.Buffer
	losses  []float32 // [n]
}

// NewTestLoss compiles the loss of an objective for batches of n samples, without dropout.
func NewTestLoss(be backend.Backend, c potential.Config, objective string, n int) (*TestLoss, error) {
	s, err := potentialStep(c, objective, nil, n, false)
	if err != nil {
		return nil, err
	}
	g := backend.Graph{Inputs: s.inputs, Outputs: []*graphop.Node{s.terms.Losses}}
	for _, p := range s.net.Params {
		g.State = append(g.State, backend.State{In: p.Node})
	}
	l := &TestLoss{params: s.net.Params, batch: newBatch(batchSize{n, 1, c.Dim(), c.Classes}, true)}
	if l.exe, err = be.Compile(g); err != nil {
		return nil, fmt.Errorf("compile the loss of a %s: %w", c.Kind, err)
	}
	l.in = make([]backend.Buffer, len(s.inputs))
	l.losses = room(g.Outputs, &l.out)[0]
	return l, nil
}

// Measure returns the losses of samples 0 to count-1 with the given weights, which are keyed by parameter name. A loss
// is the mean over the dimensions of a sample, without the weight of its time. fill sets the data, noise, time and
// label of sample i in a row of b. Before each call, the labels of the row are 0.
func (l *TestLoss) Measure(
	weights map[string][]float32, count int, fill func(i, row int, b *Batch),
) ([]float32, error) {
	if err := loadWeights(l.exe, l.params, weights); err != nil {
		return nil, fmt.Errorf("test loss: %w", err)
	}
	out := make([]float32, 0, count)
	for len(out) < count {
		rows := min(l.batch.N(), count-len(out)) // the other rows keep earlier samples, and their losses are not used
		clear(l.batch.Labels)
		for row := range rows {
			fill(len(out)+row, row, l.batch)
		}
		l.batch.bind(l.in, 0)
		if err := l.exe.Run(l.in, l.out); err != nil {
			return nil, fmt.Errorf("test loss: %w", err)
		}
		out = append(out, l.losses[:rows]...)
	}
	return out, nil
}

// loadWeights sets the parameters of a compiled network to the weights with their names.
func loadWeights(exe backend.Executable, params []layer.Param, weights map[string][]float32) error {
	for _, p := range params {
		w, ok := weights[p.Name]
		if !ok {
			return fmt.Errorf("the weights lack %s", p.Name)
		}
		if err := exe.Load(checkpoint.Param+p.Name, backend.F32(w)); err != nil {
			return err
		}
	}
	return nil
}
