package training

import (
	"math"

	"vapo/lib/backend"
	"vapo/lib/homotopy"
)

// Batch holds the samples of one step, row by row. The rows of a micro-batch are contiguous; Row says where a sample
// goes.
type Batch struct {
	X      []float32 // samples [N, Shape...]; images in [-1, 1]
	Labels []float32 // one-hot [N, Classes], a row of zeros for a sample without label; empty without classes

	// Only for a potential:
	Noise    []float32             // standard normal [N, Shape...]
	Path     homotopy.Coefficients // [N] each
	Fraction []float64             // [N] each sample's time as a fraction of the training variable, in [0, 1)

	size batchSize
}

type batchSize struct{ n, micro, dim, classes int }

// newBatch makes room for a batch.
func newBatch(s batchSize, timed bool) *Batch {
	b := &Batch{size: s, X: make([]float32, s.n*s.dim), Labels: make([]float32, s.n*s.classes)}
	if timed {
		b.Noise, b.Path, b.Fraction = make([]float32, s.n*s.dim), homotopy.NewCoefficients(s.n), make([]float64, s.n)
	}
	return b
}

// N is the number of samples.
func (b *Batch) N() int { return b.size.n }

// Row is the row of sample i. Samples are assigned to M micro-batches in turn: each gets every M-th, so that samples in
// the order of their times give each micro-batch times from everywhere.
func (b *Batch) Row(i int) int {
	m := b.size.micro
	return i%m*(b.size.n/m) + i/m
}

// Sample is the part of X that belongs to a row.
func (b *Batch) Sample(row int) []float32 { return b.X[row*b.size.dim : (row+1)*b.size.dim] }

// SampleNoise is the part of Noise that belongs to a row.
func (b *Batch) SampleNoise(row int) []float32 { return b.Noise[row*b.size.dim : (row+1)*b.size.dim] }

// SetLabel sets the label of a row that is 0.
func (b *Batch) SetLabel(row, class int) { b.Labels[row*b.size.classes+class] = 1 }

// SetTime puts a row at time t of a schedule.
func (b *Batch) SetTime(row int, s homotopy.Schedule, t float64) {
	b.Path.Set(row, s, t)
	from, to := s.Span()
	b.Fraction[row] = min(max(0, (s.Variable(t)-from)/(to-from)), math.Nextafter(1, 0))
}

// bind makes the values of micro-batch k the first inputs of a run.
func (b *Batch) bind(in []backend.Buffer, k int) {
	p, i := &b.Path, 0
	all := [...][]float32{b.X, b.Noise, p.Condition, p.Mu, p.Sigma, p.DMu, p.DSigma, p.Weight, b.Labels}
	for _, v := range all {
		if len(v) > 0 {
			in[i] = backend.F32(part(v, k, b.size.micro))
			i++
		}
	}
}

// part is the k-th of m equal parts of v.
func part(v []float32, k, m int) []float32 {
	n := len(v) / m
	return v[k*n : (k+1)*n]
}
