package linalg

import (
	"math"

	"vapo/lib/microkernel"
)

// The reduction to tridiagonal form follows LAPACK's dsytrd (Dongarra, Sorensen and Hammarling, "Block reduction of
// matrices to condensed forms", 1989). Half of the work consists of products of the matrix with a vector, one for each
// column, the other half of products of matrices. The former are limited by memory bandwidth, so they read the upper
// triangle alone.

const (
	// panelColumns is the number of columns that are eliminated before the rest of the matrix is updated by one product.
	panelColumns = 32
	// stripRows is the number of rows that a core processes at a time in a product with a vector. It is a multiple of
	// groupRows.
	stripRows = 64
	// groupRows is the number of rows that are processed together, except for the triangle at their diagonal.
	groupRows = 2 * symvRows
	// alone is the size up to which a product with a vector takes less time than waking another core.
	alone = 192
	// vanished is the sum of squares up to which the rest of a column counts as zero, in a matrix whose largest value is
	// about 1. It is far below rounding errors and far above the underflow of squares.
	vanished = 0x1p-800
)

// reduction is the state of a reduction to tridiagonal form.
type reduction struct {
	n, stride int
	a         []float64 // only the upper triangle is read
	// vw holds v and then w. Row p of each belongs to the panel's column p and has zeros up to it. The matrix after the
	// eliminations so far is a - vᵀ·w - wᵀ·v.
	vw   []float64 // [2·panelColumns, n]
	v, w []float64
	// partial holds the strips' contributions to a product with a vector, [strips, n].
	partial []float64
	d, e    []float64
}

// tridiagonal reduces the symmetric a, [n, n], by orthogonal similarity to the tridiagonal matrix with diagonal d, [n],
// and off-diagonal e, [n-1]. It reads the upper triangle, whose largest value must be about 1, and destroys a.
func tridiagonal(n int, a []float64, stride int, d, e []float64) {
	r := reduction{n: n, stride: stride, a: a, d: d, e: e,
		vw: make([]float64, 2*panelColumns*n), partial: make([]float64, blocks(n, stripRows)*n)}
	r.v, r.w = r.vw[:panelColumns*n], r.vw[panelColumns*n:]
	for j := 0; j < n; j += panelColumns {
		columns := min(panelColumns, n-j)
		for p := range columns {
			r.eliminate(j+p, p)
		}
		if next := j + columns; next < n {
			r.update(next)
		}
	}
}

// eliminate brings column i, the panel's column p, to tridiagonal form and records the transformation in v and w.
func (r *reduction) eliminate(i, p int) {
	n := r.n
	row := r.a[i*r.stride+i : i*r.stride+n]
	for q := range p {
		axpy(row, -r.w[q*n+i], r.v[q*n+i:(q+1)*n])
		axpy(row, -r.v[q*n+i], r.w[q*n+i:(q+1)*n])
	}
	r.d[i] = row[0]
	x, y := r.v[p*n:(p+1)*n], r.w[p*n:(p+1)*n]
	clear(x[:i+1])
	clear(y)
	if i == n-1 {
		return
	}
	copy(x[i+1:], row[1:])
	beta, tau := reflector(x[i+1:])
	r.e[i] = beta
	if tau == 0 {
		clear(x)
		return
	}
	r.symmetricTimes(i+1, x, y)
	x, y = x[i+1:], y[i+1:]
	for q := range p {
		vq, wq := r.v[q*n+i+1:(q+1)*n], r.w[q*n+i+1:(q+1)*n]
		wx, vx := dot(wq, x), dot(vq, x)
		axpy(y, -wx, vq)
		axpy(y, -vx, wq)
	}
	for j := range y {
		y[j] *= tau
	}
	axpy(y, -tau/2*dot(y, x), x)
}

// reflector replaces x by v, with v[0] = 1, such that (I - tau·v·vᵀ)·x = (beta, 0, ...), as LAPACK's dlarfg does. If
// tau is zero, x[0] = beta and the rest of x counts as zero.
func reflector(x []float64) (beta, tau float64) {
	first, squares := x[0], dot(x[1:], x[1:])
	if !(squares > vanished) {
		return first, 0
	}
	beta = -math.Copysign(math.Sqrt(math.FMA(first, first, squares)), first)
	scale := 1 / (first - beta)
	for i := range x {
		x[i] *= scale
	}
	x[0] = 1
	return beta, (beta - first) / beta
}

// symmetricTimes adds to y[from:] the product of the trailing submatrix a[from:, from:] and x[from:]. x must be zero
// before from; elements of y before from may be overwritten.
func (r *reduction) symmetricTimes(from int, x, y []float64) {
	n := r.n
	first, strips := from/stripRows, blocks(n, stripRows)
	strip := func(s int) {
		s += first
		// Whole groups are processed: for rows before from, x is zero.
		begin, end := max(s*stripRows, from/groupRows*groupRows), min((s+1)*stripRows, n)
		out := r.partial[s*n : (s+1)*n]
		clear(out[begin:])
		for g := begin; g < end; g += groupRows {
			r.groupTimes(g, min(groupRows, end-g), x, out)
		}
	}
	if n-from <= alone {
		for s := range strips - first {
			strip(s)
		}
	} else {
		Parallel(strips-first, strip)
	}
	for s := first; s < strips; s++ {
		begin := max(s*stripRows, from)
		axpy(y[begin:], 1, r.partial[s*n+begin:(s+1)*n])
	}
}

// groupTimes adds to out the contribution of rows [g, g+rows), and of the columns that mirror them, to a product with
// x.
func (r *reduction) groupTimes(g, rows int, x, out []float64) {
	n := r.n
	after := g + rows
	for i := g; i < after; i++ {
		row := r.a[i*r.stride:][:after]
		sum := math.FMA(row[i], x[i], out[i])
		for j := i + 1; j < after; j++ {
			sum = math.FMA(row[j], x[j], sum)
			out[j] = math.FMA(row[j], x[i], out[j])
		}
		out[i] = sum
	}
	if after == n {
		return
	}
	for i := g; i < after; i += symvRows { // the group is complete: only the last one, for which after is n, may not be
		dots := symv(out[after:], (*[symvRows]float64)(x[i:]), r.a[i*r.stride+after:], r.stride, x[after:])
		for q, v := range dots {
			out[i+q] += v
		}
	}
}

// swapped is the table of offsets of the packed rows of w and then v.
var swapped = func() microkernel.Offsets {
	at := make([]int, 2*panelColumns)
	for p := range at {
		at[p] = (p + panelColumns) % (2 * panelColumns) * microkernel.Columns
	}
	return microkernel.NewOffsets(at)
}()

// update applies a whole panel to the part of a right of and below (j, j).
func (r *reduction) update(j int) {
	f := factor[float64]{r.vw[j:], r.n, 1}
	subtractGram(r.n-j, 2*panelColumns, f, &swapped, r.a[j*r.stride+j:], r.stride)
}
