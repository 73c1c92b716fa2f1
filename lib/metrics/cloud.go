package metrics

import (
	"math"
	"slices"
	"sync"

	"vapo/lib/linalg"
)

// cloud is a set of vectors whose squared distances are computed by products.
type cloud struct {
	x      []float32 // [n, d]
	n, d   int
	centre []float64 // [d], subtracted before products
	norms  []float64 // [n], squared, of the centred rows
}

func newCloud(x []float32, d int, centre []float64) *cloud {
	c := &cloud{x: x, n: len(x) / d, d: d, centre: centre, norms: make([]float64, len(x)/d)}
	parallel(c.tiles(), func(t int) {
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

// cloudTile is some rows of a cloud, centred.
type cloudTile struct {
	*cloud
	lo, n   int
	centred []float64 // [n, d]
	out     []float64 // of squares
}

// rows is tile t; work is space for its centred rows, where there is some.
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

// squares are the squared distances, up to slack, of the rows of r from those of
// o: [r.n, o.n], valid until the next call.
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

// exact is the squared distance of row i from row j of o, zero for copies.
func (c *cloud) exact(i int, o *cloud, j int) (s float64) {
	y := o.x[j*c.d : (j+1)*c.d]
	for p, v := range c.x[i*c.d : (i+1)*c.d] {
		e := float64(v) - float64(y[p])
		s += float64(e * e)
	}
	return s
}

// within reports whether row j of o is at most sqrt(limit) from row i; square is
// what the products say. These are wrong by at most (d+8)·2ε times the norms: ε/2 for
// each of the d roundings of the product and of the norms, a few more for the
// centring and the sums.
func (c *cloud) within(i int, o *cloud, j int, square, limit float64) bool {
	slack := float64(c.d+8) * 0x1p-52 * (c.norms[i] + o.norms[j])
	if math.Abs(square-limit) > slack {
		return square < limit
	}
	return c.exact(i, o, j) <= limit
}

// near is a neighbour by squared distance up to slack.
type near struct {
	square float64
	index  int
}

// radii are the squared distances of each row from its k-th nearest other row.
func (c *cloud) radii(k int) []float64 {
	best := make([][]near, c.n)
	list := make([]near, c.n*k)
	for i := range best {
		best[i] = list[i*k : i*k : (i+1)*k]
	}
	// Each pair of tiles is computed once and told to both, in an order that
	// varies: what is kept, the first k by distance and index, does not.
	locks := make([]sync.Mutex, c.tiles())
	parallel(c.tiles(), func(t int) {
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
						best[rows.lo+i] = keep(best[rows.lo+i], near{s, cols.lo + j})
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
					best[cols.lo+j] = keep(best[cols.lo+j], near{s, rows.lo + i})
				}
			}
			locks[u].Unlock()
		}
	})
	radii := make([]float64, c.n)
	parallel(c.tiles(), func(t int) {
		for i := t * kernelTile; i < min((t+1)*kernelTile, c.n); i++ {
			for _, o := range best[i] {
				radii[i] = max(radii[i], c.exact(i, c, o.index))
			}
		}
	})
	return radii
}

// keep inserts v into list, sorted, and keeps as many as list has room for.
func keep(list []near, v near) []near {
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
