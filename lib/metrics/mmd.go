package metrics

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"vapo/lib/linalg"
	"vapo/lib/portable"
	"vapo/lib/random"
)

// MMDOptions are the options of MMD. The zero value of a field means its default.
type MMDOptions struct {
	Limit int    // the largest number of points of each set that are used; default 5000
	Seed  uint64 // of the random choice from larger sets
}

// MMDResult is a kernel distance, with data to judge its quality.
type MMDResult struct {
	// Value is the mean of Scales: the unbiased MMD² for the mean of five kernels. It has no unit and is at most 2. It
	// may be negative if the sets are close.
	Value     float64
	Scales    [5]float64 // MMD² at 1/4, 1/2, 1, 2 and 4 times Bandwidth
	Bandwidth float64    // σ, the median distance between points, in the unit of the points
	NA, NB    int        // the number of points of each set that were used
	Warnings  []string
}

const (
	mmdTile      = 128  // the number of points of the first set that a core processes at a time
	medianPoints = 1000 // the largest number of points of each set that enter the median
)

// MMD is the unbiased squared maximum mean discrepancy of two sets of points, or of rows of a table (Gretton et al.
// 2012):
//
//	MMD² = mean k(x,x') + mean k(y,y') - 2 mean k(x,y),  k(x,y) = exp(-|x-y|²/(2σ²))
//
// where x, x' are different points of a, and y, y' are different points of b. MMD² is averaged over five bandwidths σ
// around the median distance between the points of a and b together (the median heuristic). For features of images, use
// KID.
//
//	a: [na, d], b: [nb, d], row-major, finite, at least 2 points each
//
// All columns of a table should have the same scale, because the kernel depends only on distances. The time grows with
// the square of the number of points. If a set has more than o.Limit points, o.Limit random points are used, with a
// warning. The median distance is computed from at most 1000 points of each set. It is an error if the median is zero.
func MMD(a, b []float32, d int, o MMDOptions) (MMDResult, error) {
	if o.Limit = cmp.Or(o.Limit, 5000); o.Limit < 2 {
		return MMDResult{}, fmt.Errorf("mmd: limit of %d points, at least 2 are needed", o.Limit)
	}
	var r MMDResult
	var sets [2][]float32
	for s, x := range [][]float32{a, b} {
		name := []string{"first", "second"}[s]
		n, err := vectors("mmd", name, x, d, 2)
		if err != nil {
			return MMDResult{}, err
		}
		sets[s] = x
		if n > o.Limit {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%d of the %d points of the %s set were used", o.Limit, n, name))
			sets[s] = choose(x, d, o.Limit, o.Seed, uint64(s))
		}
	}
	a, b = sets[0], sets[1]
	r.NA, r.NB = len(a)/d, len(b)/d
	if r.Bandwidth = medianDistance(a, b, d, o.Seed); r.Bandwidth == 0 {
		return MMDResult{}, errors.New("mmd: at least half of the pairs of points coincide, so the median distance is 0")
	}
	sigma := 2 * r.Bandwidth * r.Bandwidth
	xx, yy, xy := gaussSums(a, a, d, sigma, true), gaussSums(b, b, d, sigma, true), gaussSums(a, b, d, sigma, false)
	na, nb := float64(r.NA), float64(r.NB)
	for s := range r.Scales {
		r.Scales[s] = 2*xx[s]/(na*(na-1)) + 2*yy[s]/(nb*(nb-1)) - 2*xy[s]/(na*nb)
		r.Value += r.Scales[s] / float64(len(r.Scales))
	}
	return r, nil
}

// choose returns n different random rows of x, [m, d].
func choose(x []float32, d, n int, seed, set uint64) []float32 {
	out := make([]float32, 0, n*d)
	for _, i := range random.New(seed, "metrics/mmd", set).Perm(len(x) / d)[:n] {
		out = append(out, x[i*d:(i+1)*d]...)
	}
	return out
}

func squaredDistance(x, y []float32) (s float64) {
	for j, v := range x {
		e := float64(v) - float64(y[j])
		s += float64(e * e)
	}
	return s
}

// medianDistance is the median distance over all pairs of different points in the union of a and b.
func medianDistance(a, b []float32, d int, seed uint64) float64 {
	var all []float32
	for s, x := range [][]float32{a, b} {
		if len(x)/d > medianPoints {
			x = choose(x, d, medianPoints, seed, uint64(2+s))
		}
		all = append(all, x...)
	}
	n := len(all) / d
	squares := make([]float64, n*(n-1)/2)
	linalg.Parallel(n, func(i int) {
		for j := range i {
			squares[i*(i-1)/2+j] = squaredDistance(all[i*d:(i+1)*d], all[j*d:(j+1)*d])
		}
	})
	slices.Sort(squares)
	k := len(squares)
	return (math.Sqrt(squares[(k-1)/2]) + math.Sqrt(squares[k/2])) / 2
}

// gaussSums returns the sums of exp(-|x-y|²/(sigma·4ⁱ)), for i from -2 to 2, over the pairs of a point of a and a point
// of b. If triangle is set, it sums over the pairs of different points of a, each counted once.
func gaussSums(a, b []float32, d int, sigma float64, triangle bool) [5]float64 {
	n, m := len(a)/d, len(b)/d
	tiles := make([][5]float64, (n+mmdTile-1)/mmdTile)
	linalg.Parallel(len(tiles), func(t int) {
		for i := t * mmdTile; i < min((t+1)*mmdTile, n); i++ {
			x, to := a[i*d:(i+1)*d], m
			if triangle {
				to = i
			}
			var row [5]float64
			for j := range to {
				// The fourth power of a kernel value is the kernel value at half the bandwidth.
				v := portable.Exp(-squaredDistance(x, b[j*d:(j+1)*d]) / (16 * sigma))
				for s := 4; ; s-- {
					row[s] += v
					if s == 0 {
						break
					}
					v *= v
					v *= v
				}
			}
			for s, v := range row {
				tiles[t][s] += v
			}
		}
	})
	var sums [5]float64
	for _, t := range tiles {
		for s, v := range t {
			sums[s] += v
		}
	}
	return sums
}
