package metrics

import (
	"math"
	"slices"
	"sync"

	"vapo/lib/linalg"
)

// cloud is a set of vectors. Squared distances between the vectors of two clouds are computed with matrix products.
type cloud struct {
	x      []float32 // [n, d]
	n, d   int
	centre []float64 // [d], subtracted from the rows before products are computed
	norms  []float64 // [n], squared norms of the centred rows
}

func newCloud(x []float32, d int, centre []float64) *cloud {
	c := &cloud{x: x, n: len(x) / d, d: d, centre: centre, norms: make([]float64, len(x)/d)}
	linalg.Parallel(c.tiles(), func(t int) {
		for i := t * kernelTile; i < min((t+1)*kernelTile, c.n); i++ {
			for j, v := range x[i*d : (i+1)*d] {
				v := float64(v) - centre[j]
				c.norms[i] += float64(v * v)
			}
		}
	})
	return c
}

func (c *cloud) tiles() int { return (c.n + kernelTile - 1) / kernelTile }

// cloudTile holds the centred rows [lo, lo+n) of a cloud.
type cloudTile struct {
	*cloud
	lo, n   int
	centred []float64 // [n, d]
	out     []float64 // the memory that squares returns
}

// rows returns tile t. Its centred rows reuse the memory of work if that is large enough.
func (c *cloud) rows(t int, work []float64) *cloudTile {
	lo := t * kernelTile
	r := &cloudTile{cloud: c, lo: lo, n: min(kernelTile, c.n-lo)}
	r.centred = slices.Grow(work[:0], r.n*c.d)[:r.n*c.d]
	for i := range r.n {
		for j, v := range c.x[(lo+i)*c.d : (lo+i+1)*c.d] {
			r.centred[i*c.d+j] = float64(v) - c.centre[j]
		}
	}
	return r
}

// squares returns the squared distances, up to rounding, between the rows of r and the rows of o. The result, [r.n,
// o.n], is valid until the next call on r.
func (r *cloudTile) squares(o *cloudTile) []float64 {
	if r.out == nil {
		r.out = make([]float64, r.n*kernelTile)
	}
	out := r.out[:r.n*o.n]
	linalg.MultiplyTransposed(r.n, o.n, r.d, r.centred, r.d, o.centred, r.d, out, o.n)
	for i := range r.n {
		norm := r.norms[r.lo+i]
		row := out[i*o.n : (i+1)*o.n]
		for j, v := range o.norms[o.lo : o.lo+o.n] {
			row[j] = norm + v - float64(2*row[j])
		}
	}
	return out
}

// exact returns the squared distance between row i of c and row j of o. It is computed from the differences of the
// components, so it is zero for equal rows.
func (c *cloud) exact(i int, o *cloud, j int) float64 {
	return squaredDistance(c.x[i*c.d:(i+1)*c.d], o.x[j*c.d:(j+1)*c.d])
}

// within reports whether the squared distance between row i of c and row j of o is at most limit. square is this
// squared distance as computed by the method squares. With ε = 2⁻⁵², the error of square is at most (d+8)·ε times the
// sum of the squared norms: ε/2 for each of the d roundings of the product and of the norms, and a few more for the
// centring and the sums. The distance is computed again by exact only if this error could change the answer.
func (c *cloud) within(i int, o *cloud, j int, square, limit float64) bool {
	slack := float64(c.d+8) * 0x1p-52 * (c.norms[i] + o.norms[j])
	if math.Abs(square-limit) > slack {
		return square < limit
	}
	return c.exact(i, o, j) <= limit
}

// radii returns, for each row, the squared distance to its k-th nearest other row.
func (c *cloud) radii(k int) []float64 {
	best := make([][]candidate[float64], c.n)
	list := make([]candidate[float64], c.n*k)
	for i := range best {
		best[i] = list[i*k : i*k : (i+1)*k]
	}
	// Each pair of tiles is computed once, and updates the lists of the rows of both tiles. The order of the pairs
	// varies, but the k nearest rows, sorted by distance and index, do not depend on the order.
	locks := make([]sync.Mutex, c.tiles())
	linalg.Parallel(c.tiles(), func(t int) {
		rows := c.rows(t, nil)
		var work []float64
		for u := t; u < c.tiles(); u++ {
			cols := rows
			if u > t {
				cols = c.rows(u, work)
				work = cols.centred
			}
			squares := rows.squares(cols)
			locks[t].Lock()
			for i := range rows.n {
				for j, s := range squares[i*cols.n : (i+1)*cols.n] {
					if t != u || i != j {
						best[rows.lo+i] = insert(best[rows.lo+i], candidate[float64]{s, cols.lo + j})
					}
				}
			}
			locks[t].Unlock()
			if t == u {
				continue
			}
			locks[u].Lock()
			for i := range rows.n {
				for j, s := range squares[i*cols.n : (i+1)*cols.n] {
					best[cols.lo+j] = insert(best[cols.lo+j], candidate[float64]{s, rows.lo + i})
				}
			}
			locks[u].Unlock()
		}
	})
	radii := make([]float64, c.n)
	linalg.Parallel(c.tiles(), func(t int) {
		for i := t * kernelTile; i < min((t+1)*kernelTile, c.n); i++ {
			for _, o := range best[i] {
				radii[i] = max(radii[i], c.exact(i, c, o.index))
			}
		}
	})
	return radii
}

// candidate is a possible neighbour: its index and its squared distance.
type candidate[T int64 | float64] struct {
	square T
	index  int
}

// insert adds v to list, which is sorted by distance and then by index. If list is full, insert drops the last element,
// which may be v.
func insert[T int64 | float64](list []candidate[T], v candidate[T]) []candidate[T] {
	at := len(list)
	for at > 0 && (v.square < list[at-1].square || v.square == list[at-1].square && v.index < list[at-1].index) {
		at--
	}
	if at == cap(list) {
		return list
	}
	if len(list) < cap(list) {
		list = list[:len(list)+1]
	}
	copy(list[at+1:], list[at:])
	list[at] = v
	return list
}
