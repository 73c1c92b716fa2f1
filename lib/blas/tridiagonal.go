package blas

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
	lapack "gonum.org/v1/gonum/lapack/gonum"
)

// The pure-Go eigenvalues come by way of a tridiagonal matrix, in panels of columns as LAPACK's dsytrd has them
// (Dongarra, Sorensen and Hammarling, "Block reduction of matrices to condensed forms", 1989): half of the work is one
// product of the matrix with a vector for each column, half are products of matrices. Other than gonum's it keeps both
// triangles, so that the former are inner products of rows, each of them one goroutine's, and uses all cores for both.

const (
	panelColumns = 32
	// rowsPerPiece and updateTile cut the work. They do not show in the results.
	rowsPerPiece = 64
	updateTile   = 256
	// negligible is what counts as zero beside the largest element: far below its rounding, far above where squares
	// underflow.
	negligible = 0x1p-200
)

func (pureGo) Eigenvalues(n int, a []float64, lda int, values []float64) error {
	if err := checkEigenvalues(n, a, lda, values); err != nil || n == 0 {
		return err
	}
	var largest float64
	for i := range n {
		for _, v := range a[i*lda+i : i*lda+n] {
			largest = math.Max(largest, math.Abs(v))
		}
	}
	if largest == 0 {
		clear(values[:n])
		return nil
	}
	// To a size of about 1, by a power of two and so without rounding.
	_, exponent := math.Frexp(largest)
	for i := range n {
		for j := i; j < n; j++ {
			v := math.Ldexp(a[i*lda+j], -exponent)
			a[i*lda+j], a[j*lda+i] = v, v
		}
	}
	off := make([]float64, n)
	tridiagonal(n, a, lda, values, off)
	for i, v := range off {
		if math.Abs(v) < negligible {
			off[i] = 0
		}
	}
	if !(lapack.Implementation{}).Dsterf(n, values[:n], off[:n-1]) {
		return errNoConvergence
	}
	for i, v := range values[:n] {
		values[i] = math.Ldexp(v, exponent)
	}
	return nil
}

// tridiagonal reduces the symmetric a, both triangles given, by orthogonal similarity to the tridiagonal matrix with
// the diagonal d and e beside it, [n] and [n-1]. It destroys a.
func tridiagonal(n int, a []float64, lda int, d, e []float64) {
	// Column p of v and w, each a row here, belong to the panel's column p: what has been eliminated so far is
	// a - v·wᵀ - w·vᵀ.
	v, w := make([]float64, panelColumns*n), make([]float64, panelColumns*n)
	left, right := make([]float64, n*2*panelColumns), make([]float64, n*2*panelColumns)
	for j := 0; j < n; j += panelColumns {
		columns := min(panelColumns, n-j)
		for p := range columns {
			eliminate(n, j+p, p, a, lda, v, w, d, e)
		}
		if next := j + columns; next < n {
			update(n, next, columns, a, lda, v, w, left, right)
		}
	}
}

// eliminate brings column i, the panel's column p, to tridiagonal form and notes how in v and w.
func eliminate(n, i, p int, a []float64, lda int, v, w, d, e []float64) {
	g := gonum.Implementation{}
	row := a[i*lda+i : i*lda+n]
	for q := range p {
		g.Daxpy(n-i, -w[q*n+i], v[q*n+i:], 1, row, 1)
		g.Daxpy(n-i, -v[q*n+i], w[q*n+i:], 1, row, 1)
	}
	d[i] = row[0]
	m := n - i - 1
	if m == 0 {
		return
	}
	x, y := v[p*n+i+1:(p+1)*n], w[p*n+i+1:(p+1)*n]
	copy(x, row[1:])
	beta, tau := lapack.Implementation{}.Dlarfg(m, x[0], x[1:], 1)
	x[0], e[i] = 1, beta
	v[p*n+i] = 0
	if tau == 0 {
		clear(y)
		return
	}
	parallel((m+rowsPerPiece-1)/rowsPerPiece, func(piece int) {
		for r := piece * rowsPerPiece; r < min((piece+1)*rowsPerPiece, m); r++ {
			y[r] = g.Ddot(m, a[(i+1+r)*lda+i+1:(i+1+r)*lda+n], 1, x, 1)
		}
	})
	for q := range p {
		vq, wq := v[q*n+i+1:(q+1)*n], w[q*n+i+1:(q+1)*n]
		wx, vx := g.Ddot(m, wq, 1, x, 1), g.Ddot(m, vq, 1, x, 1)
		g.Daxpy(m, -wx, vq, 1, y, 1)
		g.Daxpy(m, -vx, wq, 1, y, 1)
	}
	g.Dscal(m, tau, y, 1)
	g.Daxpy(m, -tau/2*g.Ddot(m, y, 1, x, 1), x, 1, y, 1)
}

// update applies a panel to what is right of and below (j, j).
func update(n, j, columns int, a []float64, lda int, v, w, left, right []float64) {
	g := gonum.Implementation{}
	k := 2 * columns
	m := n - j
	for r := range m {
		for q := range columns {
			x, y := v[q*n+j+r], w[q*n+j+r]
			left[r*k+q], left[r*k+columns+q] = x, y
			right[r*k+q], right[r*k+columns+q] = y, x
		}
	}
	tiles := (m + updateTile - 1) / updateTile
	parallel(tiles*(tiles+1)/2, func(piece int) {
		row := int((math.Sqrt(float64(8*piece+1)) - 1) / 2)
		column := piece - row*(row+1)/2
		r, c := row*updateTile, column*updateTile
		rows, cols := min(updateTile, m-r), min(updateTile, m-c)
		g.Dgemm(blas.NoTrans, blas.Trans, rows, cols, k, -1, left[r*k:], k, right[c*k:], k, 1, a[(j+r)*lda+j+c:], lda)
		for x := range rows {
			for y, t := range a[(j+r+x)*lda+j+c:][:min(cols, r+x-c+1)] {
				a[(j+c+y)*lda+j+r+x] = t
			}
		}
	})
}

// parallel calls work once for each i < n, on as many goroutines as there are processors.
func parallel(n int, work func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	if workers <= 1 {
		for i := range n {
			work(i)
		}
		return
	}
	var next atomic.Int64
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				work(i)
			}
		})
	}
	wait.Wait()
}
