package metrics

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

// Moments are the count, mean and scatter matrix of a set of vectors, in a form
// that can be built from shards and merged: what is kept is
//
//	M2 = Σ (x - mean)(x - mean)ᵀ
//
// and never Σ x xᵀ, whose difference from N·mean·meanᵀ cancels.
type Moments struct {
	n    int64
	d    int
	mean []float64 // [d]
	m2   []float64 // [d, d], symmetric, both triangles
}

// addBlock is how many rows Add takes at a time: enough for the product to be
// the cost, few enough for the centred copy to stay in cache.
const addBlock = 256

// NewMoments returns the moments of no vectors of d components.
func NewMoments(d int) *Moments {
	return &Moments{d: d, mean: make([]float64, d), m2: make([]float64, d*d)}
}

// N is the number of vectors seen.
func (m *Moments) N() int64 { return m.n }

// Dim is the number of components of a vector.
func (m *Moments) Dim() int { return m.d }

// Mean returns a copy of the mean, [d].
func (m *Moments) Mean() []float64 { return append([]float64(nil), m.mean...) }

// Cov returns the unbiased covariance M2/(N-1), [d, d], as NumPy's cov does.
// It is zero for fewer than two vectors.
func (m *Moments) Cov() *mat.SymDense {
	c := mat.NewSymDense(m.d, nil)
	if m.n < 2 {
		return c
	}
	for i := range m.d {
		for j := i; j < m.d; j++ {
			c.SetSym(i, j, m.m2[i*m.d+j]/float64(m.n-1))
		}
	}
	return c
}

// Add takes in the rows of x, [n, d] row-major in any unit. All values must be
// finite; on error nothing was added.
func (m *Moments) Add(x []float64) error {
	if m.d < 1 || len(x)%m.d != 0 {
		return fmt.Errorf("moments: %d values are no whole number of rows of %d", len(x), m.d)
	}
	for i, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("moments: component %d of row %d is %g", i%m.d, i/m.d, v)
		}
	}
	n := len(x) / m.d
	centred := make([]float64, min(n, addBlock)*m.d)
	block := NewMoments(m.d)
	for lo := 0; lo < n; lo += addBlock {
		hi := min(lo+addBlock, n)
		block.setRows(x[lo*m.d:hi*m.d], centred[:(hi-lo)*m.d])
		m.merge(block)
	}
	return nil
}

// setRows makes m the moments of the rows of x alone; centred is work space of
// the same length.
func (m *Moments) setRows(x, centred []float64) {
	d, n := m.d, len(x)/m.d
	m.n = int64(n)
	clear(m.mean)
	for i := range n {
		for j, v := range x[i*d : (i+1)*d] {
			m.mean[j] += v
		}
	}
	for j := range m.mean {
		m.mean[j] /= float64(n)
	}
	for i := range n {
		for j, v := range x[i*d : (i+1)*d] {
			centred[i*d+j] = v - m.mean[j]
		}
	}
	c := blas64.General{Rows: n, Cols: d, Stride: d, Data: centred}
	blas64.Gemm(blas.Trans, blas.NoTrans, 1, c, c, 0, blas64.General{Rows: d, Cols: d, Stride: d, Data: m.m2})
}

// Merge takes in what other has seen; other is unchanged. Merging is
// associative and commutative up to rounding (about 1e-13 relative); results
// that must be equal to the bit merge shards in one fixed order.
func (m *Moments) Merge(other *Moments) error {
	if other == nil {
		return errors.New("moments: merge of nothing")
	}
	if m.d != other.d {
		return fmt.Errorf("moments: merge of dimension %d into %d", other.d, m.d)
	}
	m.merge(other)
	return nil
}

// merge is the pairwise update of Chan, Golub and LeVeque (1979).
func (m *Moments) merge(o *Moments) {
	if o.n == 0 {
		return
	}
	if m.n == 0 {
		m.n = o.n
		copy(m.mean, o.mean)
		copy(m.m2, o.m2)
		return
	}
	na, nb := float64(m.n), float64(o.n)
	n := na + nb
	delta := make([]float64, m.d)
	for j := range delta {
		delta[j] = o.mean[j] - m.mean[j]
	}
	for i, di := range delta {
		w := di * (na * nb / n)
		mi, oi := m.m2[i*m.d:(i+1)*m.d], o.m2[i*m.d:(i+1)*m.d]
		for j, dj := range delta {
			mi[j] += oi[j] + w*dj
		}
	}
	for j := range delta {
		m.mean[j] += delta[j] * (nb / n)
	}
	m.n += o.n
}
