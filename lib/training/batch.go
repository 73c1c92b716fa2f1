package training

import (
	"math"

	"vapo/lib/backend"
	"vapo/lib/homotopy"
)

// Batch holds the samples of one step, row by row. The rows of a micro-batch are contiguous; Row returns the row of a
// sample.
type Batch struct {
	X      []float32 // samples [N, Shape...]; images in [-1, 1]
	Labels []float32 // one-hot [N, Classes], a row of zeros for a sample without a label; empty if there are no classes

	// Only for a potential:
	Noise    []float32             // standard normal [N, Shape...]
	Path     homotopy.Coefficients // [N] each
	Fraction []float64             // [N] each sample's time as a fraction of the training variable, in [0, 1)

	size batchSize
	// uploaded holds the inputs of each micro-batch in the engine's memory; see Trainer.Upload. It is empty if the next
	// step has to copy them.
	uploaded [][]backend.Buffer
}

type batchSize struct{ n, micro, dim, classes int }

// newBatch allocates a batch. timed adds the fields that only a potential needs.
func newBatch(s batchSize, timed bool) *Batch {
	b := &Batch{size: s, X: make([]float32, s.n*s.dim), Labels: make([]float32, s.n*s.classes)}
	if timed {
		b.Noise, b.Path, b.Fraction = make([]float32, s.n*s.dim), homotopy.NewCoefficients(s.n), make([]float64, s.n)
	}
	return b
}

// N returns the number of samples.
func (b *Batch) N() int { return b.size.n }

// Row returns the row of sample i. Each of the M micro-batches gets every M-th sample. If samples are in the order of
// their times, each micro-batch thus gets times from the whole range.
func (b *Batch) Row(i int) int {
	m := b.size.micro
	return i%m*(b.size.n/m) + i/m
}

// Sample returns the part of X that belongs to a row.
func (b *Batch) Sample(row int) []float32 { return b.X[row*b.size.dim : (row+1)*b.size.dim] }

// SampleNoise returns the part of Noise that belongs to a row.
func (b *Batch) SampleNoise(row int) []float32 { return b.Noise[row*b.size.dim : (row+1)*b.size.dim] }

// SetLabel sets the label of a row. The row must hold zeros before.
func (b *Batch) SetLabel(row, class int) { b.Labels[row*b.size.classes+class] = 1 }

// SetTime sets the time of a row to t of the schedule s.
func (b *Batch) SetTime(row int, s homotopy.Schedule, t float64) {
	b.Path.Set(row, s, t)
	from, to := s.Span()
	b.Fraction[row] = min(max(0, (s.Variable(t)-from)/(to-from)), math.Nextafter(1, 0))
}

// bind sets the first inputs of a run to the values of micro-batch k and returns their number.
func (b *Batch) bind(in []backend.Buffer, k int) int {
	p, i := &b.Path, 0
	all := [...][]float32{b.X, b.Noise, p.Condition, p.Mu, p.Sigma, p.DMu, p.DSigma, p.Weight, b.Labels}
	for _, v := range all {
		if len(v) > 0 {
			in[i] = backend.F32(part(v, k, b.size.micro))
			i++
		}
	}
	return i
}

// part returns the k-th of m equal parts of v.
func part(v []float32, k, m int) []float32 {
	n := len(v) / m
	return v[k*n : (k+1)*n]
}
