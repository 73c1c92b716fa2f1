package metrics

import (
	"fmt"
	"math"

	"vapo/lib/linalg"
)

// Neighbour is one of the nearest reference images of a query image.
type Neighbour struct {
	Index    int     // in the reference set
	Distance float64 // Euclidean, in grey levels (0 to 255): sqrt(Σ (q-r)²)
}

const (
	queryTile = 128
	refTile   = 512
	// exactDots is the largest number of products of centred pixels whose sum is at most 2^24 in magnitude: 1024 · 128² =
	// 2^24.
	exactDots = 1024
)

// Nearest returns the k references that are nearest to each query by Euclidean distance in pixel space. The nearest
// comes first, and ties are ordered by index.
//
//	queries: [n, d], refs: [m, d], pixels; k: 1 to m
//
// Squared distances are exact. Pixels are centred to [-128, 127], so a product of two pixels is at most 2^14 in
// magnitude, and float32 represents sums of 1024 products exactly. Longer rows are divided into parts.
//
// Note: loops in float64 or integers were rejected. A matrix product in float32 is several times faster and just as
// exact.
func Nearest(queries, refs []uint8, d, k int) ([][]Neighbour, error) {
	if d < 1 || len(queries)%d != 0 || len(refs)%d != 0 {
		return nil, fmt.Errorf("nearest neighbours: %d and %d bytes are not sets of %d-byte images",
			len(queries), len(refs), d)
	}
	n, m := len(queries)/d, len(refs)/d
	if k < 1 || k > m {
		return nil, fmt.Errorf("nearest neighbours: k is %d, expected 1 to %d, the number of references", k, m)
	}
	refNorms := make([]int64, m)
	linalg.Parallel((m+refTile-1)/refTile, func(t int) {
		for i := t * refTile; i < min((t+1)*refTile, m); i++ {
			refNorms[i] = centredNorm(refs[i*d : (i+1)*d])
		}
	})
	out := make([][]Neighbour, n)
	linalg.Parallel((n+queryTile-1)/queryTile, func(t int) {
		lo, hi := t*queryTile, min((t+1)*queryTile, n)
		w := nearestWork{
			q: make([]float32, queryTile*exactDots), r: make([]float32, refTile*exactDots),
			dot: make([]float32, queryTile*refTile), sum: make([]int64, queryTile*refTile),
		}
		best := make([][]candidate[int64], hi-lo)
		norms := make([]int64, hi-lo)
		for i := range best {
			best[i] = make([]candidate[int64], 0, k)
			norms[i] = centredNorm(queries[(lo+i)*d : (lo+i+1)*d])
		}
		for r := 0; r < m; r += refTile {
			rhi := min(r+refTile, m)
			w.dots(queries[lo*d:hi*d], refs[r*d:rhi*d], d)
			for i := range best {
				row := w.sum[i*(rhi-r) : (i+1)*(rhi-r)]
				for j, dot := range row {
					best[i] = insert(best[i], candidate[int64]{norms[i] + refNorms[r+j] - 2*dot, r + j})
				}
			}
		}
		for i, list := range best {
			for _, c := range list {
				out[lo+i] = append(out[lo+i], Neighbour{Index: c.index, Distance: math.Sqrt(float64(c.square))})
			}
		}
	})
	return out, nil
}

type nearestWork struct {
	q, r, dot []float32
	sum       []int64
}

// dots fills w.sum, [nq, nr], with the inner products of the centred rows of q and r.
func (w *nearestWork) dots(q, r []uint8, d int) {
	nq, nr := len(q)/d, len(r)/d
	clear(w.sum[:nq*nr])
	for at := 0; at < d; at += exactDots {
		width := min(exactDots, d-at)
		centre(w.q, q, d, at, width)
		centre(w.r, r, d, at, width)
		linalg.MultiplyTransposed(nq, nr, width, w.q, width, w.r, width, w.dot, nr)
		for i, v := range w.dot[:nq*nr] {
			w.sum[i] += int64(v)
		}
	}
}

// centre writes columns [at, at+width) of x, [n, d], minus 128 to dst, [n, width].
func centre(dst []float32, x []uint8, d, at, width int) {
	for i := range len(x) / d {
		src := x[i*d+at : i*d+at+width]
		for j, v := range src {
			dst[i*width+j] = float32(int(v) - 128)
		}
	}
}

func centredNorm(x []uint8) int64 {
	var s int64
	for _, v := range x {
		c := int64(v) - 128
		s += c * c
	}
	return s
}
