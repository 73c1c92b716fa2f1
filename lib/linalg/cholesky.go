package linalg

import (
	"fmt"
	"math"

	"vapo/lib/microkernel"
)

// factorBlock is the number of rows of a factor that are computed before the rest of the matrix is updated by one
// product.
const factorBlock = 64

// Cholesky replaces the symmetric a, [n, n], by the upper triangular U with Uᵀ·U = a and zeros below its diagonal. It
// reads the upper triangle of a, whose values must be finite. If a is not positive definite up to rounding, the error
// is ErrNotPositiveDefinite and a is destroyed. The backward error is of order n·ε (Higham, "Accuracy and Stability of
// Numerical Algorithms", 10.1).
func Cholesky(n int, a []float64, stride int) error {
	if err := checkSymmetric("cholesky", n, a, stride); err != nil {
		return err
	}
	for j := 0; j < n; j += factorBlock {
		rows := min(factorBlock, n-j)
		if !choleskyBlock(rows, a[j*stride+j:], stride) {
			return ErrNotPositiveDefinite
		}
		if next := j + rows; next < n {
			solveRows(n-next, a[j*stride+j:], a[j*stride+next:], stride) // rows is factorBlock
			updateUpper(n, next, rows, a, stride)
		}
	}
	clearBelow(n, n, a, stride)
	return nil
}

// choleskyBlock is Cholesky for a small matrix. It does not touch the elements below the diagonal and returns false if
// the matrix is not positive definite.
func choleskyBlock(n int, a []float64, stride int) bool {
	for r := range n {
		row := a[r*stride+r : r*stride+n]
		for q := range r {
			above := a[q*stride+r : q*stride+n]
			axpy(row, -above[0], above)
		}
		if !(row[0] > 0) {
			return false
		}
		divide(row, math.Sqrt(row[0]))
	}
	return true
}

func divide(x []float64, by float64) {
	for i := range x {
		x[i] /= by
	}
}

// solveRows replaces b, [factorBlock, n], by u⁻ᵀ·b, where u, [factorBlock, factorBlock], is upper triangular.
func solveRows(n int, u, b []float64, stride int) {
	const panel, columns = microkernel.Panel, microkernel.Columns
	// The columns of -u, packed into panels as the micro-kernel's left factor.
	var left [factorBlock / panel][factorBlock * panel]float64
	for t := range left {
		factor[float64]{u, stride, 1}.pack(left[t][:], panel, 0, t*panel, t*panel, panel, -1)
	}
	Parallel(blocks(n, columns), func(t int) {
		from := t * columns
		cols := min(columns, n-from)
		var x [factorBlock * columns]float64
		for r := range factorBlock {
			copy(x[r*columns:][:cols], b[r*stride+from:])
		}
		for r := 0; r < factorBlock; r += panel {
			if r > 0 {
				off := packed.Slice(0, r)
				block := microkernel.Product{Off: off, Rows: panel, Cols: columns, Stride: columns, Add: true}
				microkernel.Multiply(&block, left[r/panel][:], x[:], x[r*columns:])
			}
			for i := r; i < r+panel; i++ {
				row := x[i*columns:][:columns]
				for q := r; q < i; q++ {
					axpy(row, -u[q*stride+i], x[q*columns:][:columns])
				}
				divide(row, u[i*stride+i])
			}
		}
		for r := range factorBlock {
			copy(b[r*stride+from:][:cols], x[r*columns:])
		}
	})
}

// updateUpper subtracts rᵀ·r from the part of a right of and below (j, j), where r is the given number of rows of a
// directly above it.
func updateUpper(n, j, rows int, a []float64, stride int) {
	subtractGram(n-j, rows, factor[float64]{a[(j-rows)*stride+j:], stride, 1}, nil, a[j*stride+j:], stride)
}

// PivotedCholesky is Cholesky for a semidefinite a, taking the largest pivot first: (Uᵀ·U)(i, j) = a(pivots[i],
// pivots[j]). It stops at the first pivot of at most tol, which is in the unit of a. The index of that row is the rank;
// rows of U from there on are zero, so the diagonal of the remainder that Uᵀ·U lacks is at most tol. pivots, [n], is
// overwritten. The order of operations is that of LAPACK's dpstrf (Hammarling, Higham and Lucas, "LAPACK-style codes
// for pivoted Cholesky and QR updating", 2007).
func PivotedCholesky(n int, a []float64, stride int, tol float64, pivots []int) (rank int, err error) {
	if len(pivots) < n {
		panic("linalg: fewer pivots than rows")
	}
	if !(tol >= 0) {
		return 0, fmt.Errorf("pivoted cholesky: a tolerance of %g, expected at least 0", tol)
	}
	if err := checkSymmetric("pivoted cholesky", n, a, stride); err != nil {
		return 0, err
	}
	for i := range n {
		pivots[i] = i
	}
	p := pivoted{n: n, a: a, stride: stride, tol: tol, pivots: pivots,
		diagonal: make([]float64, n), squares: make([]float64, n)}
	for rank < n {
		rows := p.block(rank, min(factorBlock, n-rank))
		if rank += rows; rows < factorBlock || rank == n {
			break
		}
		updateUpper(n, rank, factorBlock, a, stride)
	}
	clearBelow(n, rank, a, stride)
	return rank, nil
}

// pivoted is the state of PivotedCholesky.
type pivoted struct {
	n, stride int
	a         []float64
	tol       float64
	pivots    []int
	// diagonal is the diagonal of a before the current block. squares holds, for each column, the sum of squares of the
	// block's rows so far.
	diagonal, squares []float64
	swaps             [factorBlock]int // the row that was exchanged with the block's i-th row
}

// block computes at most most rows of the factor, starting at row from. It stops before the first pivot of at most tol
// and returns the number of rows.
func (p *pivoted) block(from, most int) (rows int) {
	for i := from; i < p.n; i++ {
		p.diagonal[i], p.squares[i] = p.a[i*p.stride+i], 0
	}
	for ; rows < most; rows++ {
		j := from + rows
		best, pivot := p.tol, -1
		for i := j; i < p.n; i++ {
			if v := p.diagonal[i] - p.squares[i]; v > best {
				best, pivot = v, i
			}
		}
		if pivot < 0 {
			break
		}
		p.swaps[rows] = pivot
		p.swap(from, j, pivot)
		row := p.a[j*p.stride+j : j*p.stride+p.n]
		for q := from; q < j; q++ {
			above := p.a[q*p.stride+j : q*p.stride+p.n]
			axpy(row[1:], -above[0], above[1:])
		}
		row[0] = math.Sqrt(best)
		divide(row[1:], row[0])
		for i, v := range row[1:] {
			p.squares[j+1+i] = math.FMA(v, v, p.squares[j+1+i])
		}
	}
	// The swaps were applied to the block's own rows. Apply them to the rows before it, each of which is read once.
	swaps := p.swaps[:rows]
	eachRow(from, func(_, r int) {
		row := p.a[r*p.stride:][:p.n]
		for i, pivot := range swaps {
			row[from+i], row[pivot] = row[pivot], row[from+i]
		}
	})
	return rows
}

// swap exchanges rows and columns j and k, j <= k, in the upper triangle of the part that is not factored yet and in
// the block's rows, which begin at from.
func (p *pivoted) swap(from, j, k int) {
	if j == k {
		return
	}
	a, stride := p.a, p.stride
	a[k*stride+k] = a[j*stride+j]
	for r := from; r < j; r++ {
		a[r*stride+j], a[r*stride+k] = a[r*stride+k], a[r*stride+j]
	}
	for i := j + 1; i < k; i++ {
		a[j*stride+i], a[i*stride+k] = a[i*stride+k], a[j*stride+i]
	}
	x, y := a[j*stride+k+1:j*stride+p.n], a[k*stride+k+1:k*stride+p.n]
	for i, v := range x {
		x[i], y[i] = y[i], v
	}
	p.diagonal[k] = p.diagonal[j]
	p.squares[j], p.squares[k] = p.squares[k], p.squares[j]
	p.pivots[j], p.pivots[k] = p.pivots[k], p.pivots[j]
}
