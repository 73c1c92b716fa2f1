package linalg

import "vapo/lib/microkernel"

// Products follow GotoBLAS and BLIS (Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008;
// Van Zee and van de Geijn, "BLIS", 2015). The terms of a product are divided into runs. For each run, both factors are
// packed into panels, in the order in which the micro-kernel reads them. Then the tiles of the result are computed from
// the panels. Each core computes one tile at a time.

const (
	// depth is the number of terms in a run. The terms of a run are summed from zero, and the sum is then added to the
	// result. A panel of depth terms fits in the second-level cache of a core. The last bits of results depend on depth.
	depth = 256
	// tileRows and tileCols are the size of a tile of the result. They are multiples of the widths of the panels.
	tileRows = 4 * microkernel.Panel
	tileCols = 4 * microkernel.Columns
)

// packed is the table of the offsets of the terms in a packed right factor.
var packed = microkernel.Strided(depth, microkernel.Columns)

// factor is an operand of a product. Its value for term p and for row r of the result (column r, if it is the right
// factor) is data[p·term + r·row]. One of the strides term and row is 1.
type factor[T microkernel.Float] struct {
	data      []T
	term, row int
}

// pack copies terms [p, p+terms) of rows [r, r+rows) of f, times sign, to a panel of the given width: term p+t of row
// r+i is written to dst[t·width + i]. For i >= rows, dst is filled with zeros.
func (f factor[T]) pack(dst []T, width, p, terms, r, rows int, sign T) {
	if rows < width {
		clear(dst[:terms*width])
	}
	if f.row == 1 {
		for t := range terms {
			out := dst[t*width:][:rows]
			for i, v := range f.data[(p+t)*f.term+r:][:rows] {
				out[i] = sign * v
			}
		}
		return
	}
	i := 0
	for ; i+4 <= rows; i += 4 { // copying four rows at a time writes longer parts of cache lines
		x0, x1 := f.data[(r+i)*f.row+p:][:terms], f.data[(r+i+1)*f.row+p:][:terms]
		x2, x3 := f.data[(r+i+2)*f.row+p:][:terms], f.data[(r+i+3)*f.row+p:][:terms]
		for t, v := range x0 {
			out := dst[t*width+i:][:4]
			out[0], out[1], out[2], out[3] = sign*v, sign*x1[t], sign*x2[t], sign*x3[t]
		}
	}
	for ; i < rows; i++ {
		for t, v := range f.data[(r+i)*f.row+p:][:terms] {
			dst[t*width+i] = sign * v
		}
	}
}

// product is c(i, j) = sign·Σ left(p, i)·right(p, j) over p < k, plus c(i, j) if add is set; c is [m, n].
type product[T microkernel.Float] struct {
	m, n, k     int
	left, right factor[T]
	sign        T // 1 or -1
	c           []T
	stride      int
	add         bool
	// part reports whether the tile at (i, j) is wanted. In the sums of the tile, the terms before first are known to be
	// zero. A nil part means that all tiles and all terms are computed.
	part func(i, j int) (first int, wanted bool)
	// off is the table of the offsets of the terms in the packed right factor, if the terms of the two factors are in
	// different orders.
	off *microkernel.Offsets
}

// upper selects the tiles on or above the diagonal. A tile that the diagonal crosses is computed as a whole.
func upper(i, j int) (int, bool) { return 0, j+tileCols > i }

// run computes the product. The bits of an element depend on its factors, on the first term of its tile, and on depth.
func (w *product[T]) run() {
	if w.m == 0 || w.n == 0 {
		return
	}
	if w.k == 0 {
		for i := range w.m {
			if !w.add {
				clear(w.c[i*w.stride:][:w.n])
			}
		}
		return
	}
	const panel, columns = microkernel.Panel, microkernel.Columns
	lefts, rights := blocks(w.m, panel), blocks(w.n, columns)
	most := min(w.k, depth)
	left, right := make([]T, lefts*panel*most), make([]T, rights*columns*most)
	tilesDown, tilesAcross := blocks(w.m, tileRows), blocks(w.n, tileCols)
	off := w.off
	if off == nil {
		off = &packed
	}
	for p := 0; p < w.k; p += depth {
		terms := min(depth, w.k-p)
		Parallel(lefts+rights, func(t int) {
			if t < rights {
				w.right.pack(right[t*columns*most:], columns, p, terms, t*columns, min(columns, w.n-t*columns), 1)
				return
			}
			t -= rights
			w.left.pack(left[t*panel*most:], panel, p, terms, t*panel, min(panel, w.m-t*panel), w.sign)
		})
		Parallel(tilesDown*tilesAcross, func(t int) {
			i, j := t/tilesAcross*tileRows, t%tilesAcross*tileCols
			first, wanted := 0, true
			if w.part != nil {
				first, wanted = w.part(i, j)
			}
			from := max(first-p, 0)
			if !wanted || from >= terms {
				return
			}
			block := microkernel.Product{Off: off.Slice(from, terms), Rows: min(tileRows, w.m-i), Stride: w.stride,
				Next: panel * most, Add: w.add || first < p}
			for to := min(j+tileCols, w.n); j < to; j += columns {
				block.Cols = min(columns, to-j)
				microkernel.Multiply(&block, left[i*most+from*panel:], right[j*most:], w.c[i*w.stride+j:])
			}
		})
	}
}

// subtractGram subtracts fᵀ·f, which has k terms, from the upper triangle of c, [n, n]. Elements below the diagonal
// become undefined. If off is not nil, it gives the order of the terms in the right factor.
func subtractGram(n, k int, f factor[float64], off *microkernel.Offsets, c []float64, stride int) {
	w := product[float64]{m: n, n: n, k: k, left: f, right: f, sign: -1, c: c, stride: stride, add: true, part: upper,
		off: off}
	w.run()
}

// MultiplyTransposed computes c = a·bᵀ.
//
//	a: [m, k], b: [n, k], c: [m, n], with strides lda, ldb and ldc
//
// The terms of an element are divided into runs of 256. Each run is summed from zero with fused multiply-adds, and the
// sums of the runs are added in order.
func MultiplyTransposed[T microkernel.Float](m, n, k int, a []T, lda int, b []T, ldb int, c []T, ldc int) {
	checkMatrix(m, k, lda, len(a))
	checkMatrix(n, k, ldb, len(b))
	checkMatrix(m, n, ldc, len(c))
	left, right := factor[T]{a, 1, lda}, factor[T]{b, 1, ldb}
	w := product[T]{m: m, n: n, k: k, left: left, right: right, sign: 1, c: c, stride: ldc}
	w.run()
}

// AddGram adds xᵀ·x to the upper triangle of the symmetric c. Elements below the diagonal become undefined.
//
//	x: [n, d], with stride ldx; c: [d, d], with stride ldc
func AddGram(n, d int, x []float64, ldx int, c []float64, ldc int) {
	checkMatrix(n, d, ldx, len(x))
	checkMatrix(d, d, ldc, len(c))
	f := factor[float64]{x, ldx, 1}
	w := product[float64]{m: d, n: d, k: n, left: f, right: f, sign: 1, c: c, stride: ldc, add: true, part: upper}
	w.run()
}

// Congruence writes the upper triangle of u·s·uᵀ to c. Elements below the diagonal become undefined.
//
//	u: [rank, d], zero below its diagonal; s: [d, d], symmetric, both triangles given
//	c: [rank, rank]; work: [rank, d], overwritten
//
// Because of the zeros of u and the symmetry, this takes a third of the operations of two general products.
func Congruence(rank, d int, u, s, c, work []float64) {
	if rank > d {
		panic("linalg: more rows than columns in a triangular factor")
	}
	checkMatrix(rank, d, d, len(u))
	checkMatrix(d, d, d, len(s))
	checkMatrix(rank, rank, rank, len(c))
	checkMatrix(rank, d, d, len(work))
	// work(i, k) = Σ u(i, j)·s(j, k) over j >= i, for k >= i.
	us := product[float64]{m: rank, n: d, k: d, left: factor[float64]{u, 1, d}, right: factor[float64]{s, d, 1}, sign: 1,
		c: work, stride: d, part: func(i, k int) (int, bool) { return i, k+tileCols > i }}
	us.run()
	// c(i, j) = Σ work(i, k)·u(j, k) over k >= j, for j >= i.
	usu := product[float64]{m: rank, n: rank, k: d, left: factor[float64]{work, 1, d}, right: factor[float64]{u, 1, d},
		sign: 1, c: c, stride: rank, part: func(i, j int) (int, bool) { return max(i, j), j+tileCols > i }}
	usu.run()
}
