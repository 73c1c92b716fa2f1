package metrics

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"vapo/lib/linalg"
	"vapo/lib/random"
)

// KIDOptions are the options of KID. The zero value of a field means its default.
type KIDOptions struct {
	Subsets int    // the number of random subsets; default 100
	Size    int    // vectors of each set per subset; default 1000
	Seed    uint64 // of the random subsets
}

// KIDResult is a kernel distance, with data to judge its quality.
type KIDResult struct {
	// Mean is the mean of the unbiased MMD² over the subsets, in the unit of the kernel. It may be negative if the sets
	// are close.
	Mean float64 `json:"mean"`
	// Std is the standard deviation over the subsets, as torch-fidelity prints it. The divisor is the number of subsets.
	// Subsets overlap, so Std does not give the standard error of Mean.
	Std      float64  `json:"std"`
	Subsets  int      `json:"subsets"` // the number that was used
	Size     int      `json:"size"`    // the size that was used
	Warnings []string `json:"-"`
}

// kernelTile is the number of rows that KID and Manifold process at a time. It is large enough for matrix products to
// dominate the cost, and small enough to keep memory small for sets of any size.
const kernelTile = 512

// KID is the kernel distance between two sets of features (Bińkowski et al. 2018, arXiv 1801.01401): the squared
// maximum mean discrepancy
//
//	MMD² = mean k(x,x') + mean k(y,y') - 2 mean k(x,y),  k(x,y) = (x·y/d + 1)³
//
// where x, x' are different rows of a, and y, y' are different rows of b. This estimate is unbiased at any size. It is
// computed on random subsets of equal size, drawn from each set without replacement, as in torch-fidelity and
// clean-fid. The rows of a subset depend only on the seed, the index of the subset and the size of the set.
//
//	a: [na, d], b: [nb, d], row-major, finite, at least 2 rows each
//
// If a set has fewer than Size vectors, Size becomes the size of the smaller set, with a warning. If a subset would be
// the whole set on both sides, there is only one subset. Products are computed in float64. A constant close to the mean
// of the kernel is subtracted from all kernel values before they are summed. The constant cancels in MMD². Subtracting
// it keeps the digits that the difference of the means would otherwise lose. The cost is about 4·Subsets·Size²·d
// operations: 0.8·10¹² with the defaults at d = 2048.
func KID(a, b []float32, d int, o KIDOptions) (KIDResult, error) {
	na, err := vectors("kid", "first", a, d, 2)
	if err != nil {
		return KIDResult{}, err
	}
	nb, err := vectors("kid", "second", b, d, 2)
	if err != nil {
		return KIDResult{}, err
	}
	r := KIDResult{Subsets: cmp.Or(o.Subsets, 100), Size: cmp.Or(o.Size, 1000)}
	if r.Subsets < 1 || r.Size < 2 {
		return KIDResult{}, fmt.Errorf("kid: %d subsets of %d vectors, expected at least 1 subset of 2 vectors",
			r.Subsets, r.Size)
	}
	if least := min(na, nb); r.Size > least {
		r.Warnings = append(r.Warnings, fmt.Sprintf(
			"subsets of %d instead of %d vectors: the smaller set has no more", least, r.Size))
		r.Size = least
	}
	if r.Size == na && r.Size == nb && r.Subsets > 1 {
		r.Warnings = append(r.Warnings, "both sets are one subset: the value has no spread")
		r.Subsets = 1
	}

	ma, mb := meanRow(a, d), meanRow(b, d)
	var near float64
	for j, v := range ma {
		near += float64(v * mb[j])
	}
	k := cubicKernel{d: d, shift: cubic(near / float64(d))}
	drawn := make([][2][]int, r.Subsets)
	linalg.Parallel(r.Subsets, func(s int) {
		for set, n := range []int{na, nb} {
			all := random.New(o.Seed, "metrics/kid", 2*uint64(s)+uint64(set)).Perm(n)
			drawn[s][set] = slices.Clone(all[:r.Size])
		}
	})
	tiles := (r.Size + kernelTile - 1) / kernelTile
	// A task combines one tile of one subset with itself and with all tiles after it. The tiles of b come after those of
	// a.
	sums := make([]kernelSums, r.Subsets*2*tiles)
	linalg.Parallel(len(sums), func(task int) {
		s, t := task/(2*tiles), task%(2*tiles)
		sums[task] = k.sums(a, b, drawn[s][0], drawn[s][1], t)
	})
	values := make([]float64, r.Subsets)
	for s := range values {
		var all kernelSums
		for _, v := range sums[s*2*tiles : (s+1)*2*tiles] {
			all.xx += v.xx
			all.yy += v.yy
			all.xy += v.xy
		}
		n := float64(r.Size)
		values[s] = (all.xx+all.yy)/(n*(n-1)) - 2*all.xy/(n*n)
	}
	r.Mean, r.Std = meanStd(values)
	return r, nil
}

// cubicKernel computes sums of k - shift over pairs of rows, where k is the kernel of KID.
type cubicKernel struct {
	d     int
	shift float64
}

// kernelSums holds the sums over ordered pairs of different rows of a (xx), over those of b (yy), and over pairs of a
// row of a and a row of b (xy).
type kernelSums struct{ xx, yy, xy float64 }

func cubic(mean float64) float64 { return float64((mean + 1) * (mean + 1) * (mean + 1)) }

// sums returns the sums over the pairs of tile t with itself and with the tiles after it. The tiles of a[ia] are
// numbered first, then those of b[ib]. Pairs within a set count twice.
func (k cubicKernel) sums(a, b []float32, ia, ib []int, t int) (s kernelSums) {
	tiles := (len(ia) + kernelTile - 1) / kernelTile
	side := min(len(ia), kernelTile)
	left, right := make([]float64, side*k.d), make([]float64, side*k.d)
	gram := make([]float64, side*side)
	tile := func(dst []float64, t int) int {
		x, index := a, ia
		if t >= tiles {
			x, index, t = b, ib, t-tiles
		}
		index = index[t*kernelTile : min((t+1)*kernelTile, len(index))]
		for r, i := range index {
			for j, v := range x[i*k.d : (i+1)*k.d] {
				dst[r*k.d+j] = float64(v)
			}
		}
		return len(index)
	}
	n := tile(left, t)
	for u := t; u < 2*tiles; u++ {
		other, m := left, n
		if u > t {
			other, m = right, tile(right, u)
		}
		linalg.MultiplyTransposed(n, m, k.d, left, k.d, other, k.d, gram, m)
		var sum float64
		for i := range n {
			row := gram[i*m : (i+1)*m]
			if u == t {
				row = row[:i] // the kernel is symmetric, so only pairs below the diagonal are summed; they count twice
			}
			var part float64
			for _, v := range row {
				part += cubic(v/float64(k.d)) - k.shift
			}
			sum += part
		}
		switch {
		case t < tiles && u >= tiles:
			s.xy += sum
		case t < tiles:
			s.xx += float64(2 * sum)
		default:
			s.yy += float64(2 * sum)
		}
	}
	return s
}

// meanStd returns the mean and the standard deviation of values. The divisor is their number, not one less, as in the
// published programs for KID and the Inception Score.
func meanStd(values []float64) (mean, std float64) {
	for _, v := range values {
		mean += v
	}
	mean /= float64(len(values))
	for _, v := range values {
		std += float64((v - mean) * (v - mean))
	}
	return mean, math.Sqrt(std / float64(len(values)))
}
