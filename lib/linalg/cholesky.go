package linalg

import (
	"fmt"
	"math"

	"vapo/lib/microkernel"
)

// factorBlock is the number of rows of a factor that are computed before what is below and right of them is updated
// by one product.
const factorBlock = 64

// Cholesky replaces the symmetric a, [n, n], of which it reads the upper triangle, by the upper triangular U with
// Uᵀ·U = a, zeros below its diagonal. If a is not positive definite, or within rounding of that, the error is
// ErrNotPositiveDefinite and a is destroyed. The backward error is of order n·ε (Higham, "Accuracy and Stability of
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

// choleskyBlock is Cholesky for a matrix of few rows, and leaves what is below the diagonal alone.
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

// solveRows replaces b, [factorBlock, n], by u⁻ᵀ·b for the upper triangular u, [factorBlock, factorBlock].
func solveRows(n int, u, b []float64, stride int) {
	const panel, columns = microkernel.Panel, microkernel.Columns
	// Column r of -u in panels, as the micro-kernel reads a left factor.
	var left [factorBlock / panel][factorBlock * panel]float64
	for t := range left {
		factor[float64]{u, stride, 1}.pack(left[t][:], panel, 0, t*panel, t*panel, panel, -1)
	}
	parallel(blocks(n, columns), func(t int) {
		from := t * columns
		cols := min(columns, n-from)
		var x [factorBlock * columns]float64
		for r := range factorBlock {
			copy(x[r*columns:][:cols], b[r*stride+from:])
		}
		for r := 0; r < factorBlock; r += panel {
			if r > 0 {
				block := microkernel.Product{Off: packed.Slice(0, r), Rows: panel, Cols: columns, Stride: columns,
					Add: true}
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

// updateUpper subtracts rᵀ·r from what is right of and below (j, j), r being the rows rows of a above it.
func updateUpper(n, j, rows int, a []float64, stride int) {
	subtractGram(n-j, rows, factor[float64]{a[(j-rows)*stride+j:], stride, 1}, nil, a[j*stride+j:], stride)
}

// PivotedCholesky is Cholesky with the largest pivot first, for a semidefinite a: (Uᵀ·U)(i, j) is then a(pivots[i],
// pivots[j]). It ends at the first pivot of at most tol; the rows of U from there on, the rank, are zero, and so Uᵀ·U
// lacks a remainder with diagonal values of at most tol. pivots has n elements. The order of operations is that of
// LAPACK's dpstrf (Hammarling, Higham and Lucas, "LAPACK-style codes for pivoted Cholesky and QR updating", 2007).
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

// pivoted is what PivotedCholesky keeps while it runs.
type pivoted struct {
	n, stride int
	a         []float64
	tol       float64
	pivots    []int
	// diagonal is that of a before the block at hand, and squares are the sums of squares of the block's columns
	// above it.
	diagonal, squares []float64
	swaps             [factorBlock]int // of row from+i with this one
}

// block computes rows of the factor, from a row on and at most most, and returns how many there were before a pivot
// of at most tol.
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
	// What the block's own rows have seen of the swaps, those before them see now, each row once.
	parallel(blocks(from, rowBlock), func(t int) {
		for r := t * rowBlock; r < min((t+1)*rowBlock, from); r++ {
			row := p.a[r*p.stride:][:p.n]
			for i, pivot := range p.swaps[:rows] {
				row[from+i], row[pivot] = row[pivot], row[from+i]
			}
		}
	})
	return rows
}

// swap exchanges rows and columns j < k of what is not yet factored, as far as the upper triangle shows them, and of
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
