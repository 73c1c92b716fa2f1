package metrics

import (
	"errors"
	"fmt"
	"math"

	"vapo/lib/linalg"
)

// Moments are the count, mean and scatter matrix of a set of vectors. The scatter matrix is
//
//	M2 = Σ (x - mean)(x - mean)ᵀ
//
// and not Σ x xᵀ, because subtracting N·mean·meanᵀ from that sum would lose digits by cancellation.
type Moments struct {
	n    int64
	d    int
	mean []float64 // [d]
	m2   []float64 // [d, d], both triangles: M2, or the covariance if published is set
	// published marks moments from published statistics with unknown N. They can be compared, but no vectors can be
	// added.
	published bool
}

// addBlock is the number of rows that Add processes at a time. It is large enough for the matrix product to dominate
// the cost. With the vector that addRows appends, the number of rows is a multiple of 256, the length of a run of terms
// in the products of linalg. The last bits of results depend on addBlock.
const addBlock = 1023

// strip is the number of components that a core processes at a time in Add.
const strip = 64

// NewMoments returns the moments of an empty set of vectors of d components.
func NewMoments(d int) *Moments {
	return &Moments{d: d, mean: make([]float64, d), m2: make([]float64, d*d)}
}

// NewMomentsOf returns the moments for published statistics of n vectors: the mean, [d], and the unbiased covariance
// cov, [d, d]. In the files that FID tools share, they are called mu and sigma. n = 0 means that the number of vectors
// is unknown. Values must be finite. The two triangles of cov may differ by at most 1e-6 times the largest variance,
// and their mean is used.
func NewMomentsOf(n int64, mean, cov []float64) (*Moments, error) {
	d := len(mean)
	if d < 1 || len(cov) != d*d {
		return nil, fmt.Errorf("moments: a covariance of %d values for a mean of %d, expected %d", len(cov), d, d*d)
	}
	if n < 0 || n == 1 {
		return nil, fmt.Errorf("moments: statistics of %d vectors, expected at least 2, or 0 for an unknown number", n)
	}
	for i, v := range mean {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("moments: component %d of the mean is %g", i, v)
		}
	}
	var scale float64
	for i := range d {
		v := cov[i*d+i]
		if !(v >= 0) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("moments: the variance of component %d is %g", i, v)
		}
		scale = math.Max(scale, v)
	}
	m := NewMoments(d)
	m.n, m.published = n, n == 0
	copy(m.mean, mean)
	times := 1.0
	if n > 0 {
		times = float64(n - 1)
	}
	for i := range d {
		for j := range i + 1 {
			u, l := cov[j*d+i], cov[i*d+j]
			if !(math.Abs(u-l) <= symmetric*scale) || math.IsInf(u, 0) {
				return nil, fmt.Errorf("moments: the covariance is not symmetric: %g at (%d, %d), %g at (%d, %d)", u, j, i, l, i, j)
			}
			m.m2[i*d+j] = times * (float64(u/2) + float64(l/2))
			m.m2[j*d+i] = m.m2[i*d+j]
		}
	}
	return m, nil
}

// symmetric is the largest allowed difference between the triangles of a published covariance, relative to the largest
// variance.
const symmetric = 1e-6

// N returns the number of vectors, or 0 if it is unknown, as for some published statistics.
func (m *Moments) N() int64 { return m.n }

// Dim returns the number of components of a vector.
func (m *Moments) Dim() int { return m.d }

// Mean returns a copy of the mean, [d].
func (m *Moments) Mean() []float64 { return append([]float64(nil), m.mean...) }

// Cov returns the unbiased covariance M2/(N-1), [d, d], as NumPy's cov does. For fewer than two vectors, it returns
// zeros.
func (m *Moments) Cov() []float64 {
	c := make([]float64, m.d*m.d)
	switch {
	case m.published:
		copy(c, m.m2)
	case m.n >= 2:
		for i, v := range m.m2 {
			c[i] = v / float64(m.n-1)
		}
	}
	return c
}

// Add adds the vectors in rows, [n, d], row-major, in any unit. It computes in float64. A value that is not finite is
// an error. After an error, the moments are unchanged.
func (m *Moments) Add(rows []float32) error {
	if m.published {
		return errors.New("moments: nothing can be added to published statistics, whose N is not known")
	}
	if m.d < 1 || len(rows)%m.d != 0 {
		return fmt.Errorf("moments: %d values are not a whole number of rows of %d", len(rows), m.d)
	}
	for i, v := range rows {
		if v-v != 0 {
			return fmt.Errorf("moments: component %d of row %d is %g", i%m.d, i/m.d, v)
		}
	}
	n := len(rows) / m.d
	if n == 0 {
		return nil
	}
	w := newAddWork(m.d, min(n, addBlock))
	for lo := 0; lo < n; lo += addBlock {
		hi := min(lo+addBlock, n)
		m.addRows(rows[lo*m.d:hi*m.d], w)
	}
	linalg.Parallel((m.d+strip-1)/strip, func(t int) {
		for lo := 0; lo <= t*strip; lo += strip { // square by square, so that the squares of both triangles fit in caches
			for i := t * strip; i < min((t+1)*strip, m.d); i++ {
				for j := lo; j < min(lo+strip, i); j++ {
					m.m2[i*m.d+j] = m.m2[j*m.d+i]
				}
			}
		}
	})
	return nil
}

// addWork is the working memory for a block of rows.
type addWork struct {
	deviations []float64 // [rows + 1, d], each row minus the mean of the block, then one more vector
	mean       []float64 // [d], the mean of the block
}

func newAddWork(d, rows int) *addWork {
	return &addWork{deviations: make([]float64, (rows+1)*d), mean: make([]float64, d)}
}

// addRows adds a block of rows. It updates only the upper triangle of M2. The formula is that of merge, but the scatter
// matrix of the block is added to m.m2 directly, as a matrix product. The outer product of the difference of the means
// becomes part of this product by appending one more vector to the deviations.
func (m *Moments) addRows(x []float32, w *addWork) {
	d, n := m.d, len(x)/m.d
	before, added := float64(m.n), float64(n)
	total := before + added
	weight := math.Sqrt(before * added / total)
	linalg.Parallel((d+strip-1)/strip, func(t int) {
		lo, hi := t*strip, min((t+1)*strip, d)
		mean := w.mean[lo:hi]
		clear(mean)
		for r := range n {
			for j, v := range x[r*d+lo : r*d+hi] {
				mean[j] += float64(v)
			}
		}
		for j := range mean {
			mean[j] /= added
		}
		for r := range n {
			out := w.deviations[r*d+lo : r*d+hi]
			for j, v := range x[r*d+lo : r*d+hi] {
				out[j] = float64(v) - mean[j]
			}
		}
		for j, v := range mean {
			delta := v - m.mean[lo+j]
			w.deviations[n*d+lo+j] = weight * delta
			m.mean[lo+j] += float64(delta * (added / total))
		}
	})
	k := n
	if m.n > 0 {
		k++
	}
	m.n += int64(n)
	linalg.AddGram(k, d, w.deviations, d, m.m2, d)
}

// merge adds the vectors of o, which remains unchanged, by the pairwise update of Chan, Golub and LeVeque (1979). It is
// associative and commutative up to a relative rounding error of about 1e-13. Both moments have the same dimension and
// are not published.
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
			mi[j] += oi[j] + float64(w*dj)
		}
	}
	for j := range delta {
		m.mean[j] += float64(delta[j] * (nb / n))
	}
	m.n += o.n
}
