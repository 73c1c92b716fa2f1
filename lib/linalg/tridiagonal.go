package linalg

import (
	"math"

	"vapo/lib/microkernel"
)

// The reduction to tridiagonal form follows LAPACK's dsytrd (Dongarra, Sorensen and Hammarling, "Block reduction of
// matrices to condensed forms", 1989). Half of the work is products of the matrix and a vector, one for each column.
// The other half is products of matrices. The products with a vector are limited by memory bandwidth, so they read only
// the upper triangle.

const (
	// panelColumns is the number of columns that are eliminated before one product updates the rest of the matrix.
	panelColumns = 32
	// stripRows is the number of rows that a core processes at a time in a product with a vector. It is a multiple of
	// groupRows.
	stripRows = 64
	// groupRows is the number of rows that groupTimes processes together. The triangle at their diagonal is processed
	// separately.
	groupRows = 2 * symvRows
	// alone is the size of a matrix up to which its product with a vector takes less time than waking another core.
	alone = 192
	// If the sum of the squares of the rest of a column is at most vanished, the rest counts as zero. The largest value
	// of the matrix is about 1. vanished is far below the squares of rounding errors and far above underflow.
	vanished = 0x1p-800
)

// reduction is the state of a reduction to tridiagonal form.
type reduction struct {
	n, stride int
	a         []float64 // only the upper triangle is read
	// vw holds v and then w, [panelColumns, n] each. Row p of v and row p of w belong to column p of the panel, and are
	// zero up to the diagonal of this column. After the eliminations so far, the matrix is a - vᵀ·w - wᵀ·v.
	vw   []float64 // [2·panelColumns, n]
	v, w []float64
	// partial holds the contribution of every strip to a product with a vector, [strips, n].
	partial []float64
	d, e    []float64
}

// tridiagonal reduces the symmetric a, [n, n], to tridiagonal form by orthogonal similarity. It writes the diagonal to
// d, [n], and the off-diagonal to e, [n-1]. It reads only the upper triangle of a, whose largest value must be about 1.
// The content of a is lost.
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

// eliminate brings column i, which is column p of the panel, to tridiagonal form and records the transformation in v
// and w.
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

// reflector replaces x by a vector v with v[0] = 1 such that (I - tau·v·vᵀ)·x = (beta, 0, ...), as LAPACK's dlarfg
// does. If the rest of x after x[0] counts as zero, x is unchanged, tau is 0 and beta is x[0].
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

// symmetricTimes adds the product of the trailing submatrix a[from:, from:] and x[from:] to y[from:]. x[:from] must be
// zero.
func (r *reduction) symmetricTimes(from int, x, y []float64) {
	n := r.n
	first, strips := from/stripRows, blocks(n, stripRows)
	strip := func(s int) {
		s += first
		// Whole groups are processed. Rows before from contribute nothing, because x is zero there.
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

// groupTimes multiplies rows [g, g+rows) of the upper triangle, and the columns that mirror them, by x, and adds the
// result to out.
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
	for i := g; i < after; i += symvRows { // only the last group (after == n) may have fewer than groupRows rows
		dots := symv(out[after:], (*[symvRows]float64)(x[i:]), r.a[i*r.stride+after:], r.stride, x[after:])
		for q, v := range dots {
			out[i+q] += v
		}
	}
}

// swapped is the table of the offsets of the packed rows in swapped order: first the rows of w, then those of v.
var swapped = func() microkernel.Offsets {
	at := make([]int, 2*panelColumns)
	for p := range at {
		at[p] = (p + panelColumns) % (2 * panelColumns) * microkernel.Columns
	}
	return microkernel.NewOffsets(at)
}()

// update applies the transformations of a whole panel to the trailing submatrix a[j:, j:].
func (r *reduction) update(j int) {
	f := factor[float64]{r.vw[j:], r.n, 1}
	subtractGram(r.n-j, 2*panelColumns, f, &swapped, r.a[j*r.stride+j:], r.stride)
}
