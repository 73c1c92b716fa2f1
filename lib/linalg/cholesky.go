package linalg

import (
	"fmt"
	"math"

	"vapo/lib/microkernel"
)

// factorBlock is the number of rows of a factor that are computed before one product updates the rest of the matrix.
const factorBlock = 64

// Cholesky replaces the symmetric matrix a, [n, n], by the upper triangular U with Uᵀ·U = a. It sets the elements below
// the diagonal to zero. It reads only the upper triangle of a, whose values must be finite. If a is not positive
// definite up to rounding, the error is ErrNotPositiveDefinite and the content of a is lost. The backward error is of
// order n·ε (Higham, "Accuracy and Stability of Numerical Algorithms", 10.1).
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
			solveRows(n-next, a[j*stride+j:], a[j*stride+next:], stride) // only the last block may be smaller than factorBlock
			updateUpper(n, next, rows, a, stride)
		}
	}
	clearBelow(n, n, a, stride)
	return nil
}

// choleskyBlock factors a small matrix as Cholesky does, but leaves the elements below the diagonal unchanged. It
// returns false if the matrix is not positive definite.
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
	// left holds the columns of -u, packed into panels as the left factor for the micro-kernel.
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

// updateUpper subtracts rᵀ·r from the trailing submatrix a[j:n, j:n], where r is a[j-rows:j, j:n], the rows directly
// above it.
func updateUpper(n, j, rows int, a []float64, stride int) {
	subtractGram(n-j, rows, factor[float64]{a[(j-rows)*stride+j:], stride, 1}, nil, a[j*stride+j:], stride)
}

// PivotedCholesky replaces the positive semidefinite a, [n, n], by the upper triangular U with (Uᵀ·U)(i, j) =
// a(pivots[i], pivots[j]). It reads only the upper triangle of a, whose values must be finite, and overwrites pivots,
// [n]. It always takes the largest pivot next, and stops when the largest is at most tol, which is in the unit of a.
// rank is the number of rows of U that it has computed; the other rows of U are zero. The diagonal elements of Uᵀ·U are
// then at most tol below those of the permuted a. The order of operations is that of LAPACK's dpstrf (Hammarling,
// Higham and Lucas, "LAPACK-style codes for pivoted Cholesky and QR updating", 2007).
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
	// diagonal is the diagonal of a before the current block. squares holds, for each column, the sum of squares over the
	// rows of the block that have been computed.
	diagonal, squares []float64
	swaps             [factorBlock]int // swaps[i] is the row that was exchanged with row i of the block
}

// block computes rows of the factor, starting with row from. It computes up to most rows, stops early if the largest
// pivot is at most tol, and returns the number of rows.
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
	// So far, the swaps were applied only to the rows of the block. Apply them to the rows before the block, in one pass
	// over each row.
	swaps := p.swaps[:rows]
	eachRow(from, func(_, r int) {
		row := p.a[r*p.stride:][:p.n]
		for i, pivot := range swaps {
			row[from+i], row[pivot] = row[pivot], row[from+i]
		}
	})
	return rows
}

// swap exchanges rows j and k, and columns j and k, where j <= k, in the upper triangle of the part that is not
// factored yet. It also exchanges these columns in the rows of the block, which begin at row from.
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
