package blas

import "sync"

// The pure-Go float32 product follows the blocking of GotoBLAS and BLIS (Goto and van de Geijn, "Anatomy of
// High-Performance Matrix Multiplication", 2008; Van Zee and van de Geijn, "BLIS", 2015): op(b) is cut into panels of
// depth rows and a few vectors of columns, each copied once to where the first-level cache keeps it, and a kernel runs
// two or three rows of op(a) along the panel with all its sums in registers.
//
// The bits of an element of c depend on its row of op(a), its column of op(b), alpha and beta, and on nothing else. Its
// products are summed in runs of depth, each run from zero in the order of k, every product and every sum rounded to
// float32 by itself, without fused multiply-adds; then, run by run,
//
//	c = alpha·run + beta·c,  after the first run with beta = 1.
//
// The lanes of a vector hold different elements of c and never parts of one sum. So the shape around an element, the
// width of vectors and the processor change the speed alone.

// depth is the number of products in a run: a panel of 48 columns then takes 24 of the 32 KiB that first-level caches
// have, and the work on c between two runs stays small. It belongs to the results' bits.
const depth = 128

const (
	// kernelRows and kernelVectors are the largest tile of c that a kernel computes: 9 vectors of sums, 3 of b and 3
	// for products fill the 15 vector registers that the compiler allots.
	kernelRows    = 3
	kernelVectors = 3
	// maxLanes bounds the elements of a vector.
	maxLanes = 64
	// tileStride is the distance of the rows of a tile.
	tileStride = kernelVectors * maxLanes
	// directRows is the largest number of rows for which copying a panel costs more than its neatness saves.
	directRows = 64
)

// unit is one way to do the arithmetic. All give the same bits.
type unit struct {
	name  string
	lanes int // elements of a vector
	// kernels[rows][vectors] does a task of two or three rows and vectors.
	kernels [kernelRows + 1][kernelVectors + 1]func(*task)
	// copyRows writes dst[p*cols+j] = src[p*from+j] for p < rows and j < cols, a multiple of lanes.
	copyRows func(dst []float32, cols int, src []float32, from, rows int)
	// transpose8 writes dst[p*to+j] = src[j*from+p] for p < n, a multiple of 8, and j < 8.
	transpose8 func(dst []float32, to int, src []float32, from, n int)
}

// task is what a kernel reads and writes:
//
//	c[r*cRow+j] = alpha·(sum over p < k of a[r*aRow+p*aStep]·b[p*bStep+j]) + beta·c[r*cRow+j],
//
// with beta = 0 without reading c.
type task struct {
	// Large blocks begin on a cache line, and so the panel does, whose vectors would else lie across two.
	panel       [depth * tileStride]float32
	tile        [kernelRows * tileStride]float32
	k, cols     int
	a, b, c     []float32
	aRow, aStep int
	bStep       int
	cRow        int
	alpha, beta float32
}

// tasks keeps the scratch memory of past calls: a call takes one, so calls in any number of goroutines are apart.
var tasks = sync.Pool{New: func() any { return new(task) }}

// matrix is an operand: element (i, j) is data[i*row+j*col], and one of row and col is 1.
type matrix struct {
	data     []float32
	row, col int
}

// stored is the matrix of rows ld apart, or its transpose.
func stored(transposed bool, data []float32, ld int) matrix {
	if transposed {
		return matrix{data, 1, ld}
	}
	return matrix{data, ld, 1}
}

func (x matrix) transpose() matrix { return matrix{x.data, x.col, x.row} }

// from is the data that begins with element (i, j).
func (x matrix) from(i, j int) []float32 { return x.data[i*x.row+j*x.col:] }

// sgemm computes c = alpha·a·b + beta·c for a [m, k], b [k, n] and c [m, n].
func sgemm(u *unit, m, n, k int, alpha float32, a, b matrix, beta float32, c matrix) {
	if n < u.lanes && m > n { // vectors along the longer side: c^T = b^T·a^T
		m, n, a, b, c = n, m, b.transpose(), a.transpose(), c.transpose()
	}
	if k == 0 || alpha == 0 {
		scale(m, n, beta, c)
		return
	}
	t := tasks.Get().(*task)
	for j := 0; j < n; j += t.cols {
		vectors := next((n - j + u.lanes - 1) / u.lanes)
		t.cols = min(vectors*u.lanes, n-j)
		vectors = max(vectors, 2)
		whole := t.cols == vectors*u.lanes
		run := beta
		for p := 0; p < k; p += depth {
			t.k = min(depth, k-p)
			if b.col == 1 && whole && m <= directRows {
				t.b, t.bStep = b.from(p, j), b.row
			} else {
				t.b, t.bStep = t.panel[:], vectors*u.lanes
				t.pack(u, b.from(p, j), b)
			}
			t.aRow, t.aStep = a.row, a.col
			for i := 0; i < m; {
				rows := next(m - i)
				t.a = a.from(i, p)
				if rows > 1 && whole && c.col == 1 {
					t.c, t.cRow, t.alpha, t.beta = c.from(i, j), c.row, alpha, run
					u.kernels[rows][vectors](t)
				} else {
					if rows == 1 {
						t.aRow = 0 // the same row twice
					}
					t.c, t.cRow, t.alpha, t.beta = t.tile[:], tileStride, 1, 0
					u.kernels[max(rows, 2)][vectors](t)
					t.combine(rows, alpha, run, c.from(i, j), c)
				}
				i += rows
			}
			run = 1
		}
	}
	t.a, t.b, t.c = nil, nil, nil
	tasks.Put(t)
}

// next cuts a length into threes and twos from the front, a one only where nothing else is left.
func next(left int) int {
	if left == 4 {
		return 2
	}
	return min(left, 3)
}

// combine writes a tile to a part of x, which begins with dst.
func (t *task) combine(rows int, alpha, beta float32, dst []float32, x matrix) {
	for r := range rows {
		for j, v := range t.tile[r*tileStride:][:t.cols] {
			if c := &dst[r*x.row+j*x.col]; beta == 0 {
				*c = float32(alpha * v)
			} else {
				*c = float32(alpha*v) + float32(beta**c)
			}
		}
	}
}

// pack copies k rows and cols columns to the panel, and zeros to the end of its rows: what a kernel computes there is
// thrown away, but must not be slow, as arithmetic on old bits might be.
func (t *task) pack(u *unit, src []float32, b matrix) {
	to := t.bStep
	if b.col == 1 {
		if t.cols == to {
			u.copyRows(t.panel[:], to, src, b.row, t.k)
			return
		}
		for p := range t.k {
			row := t.panel[p*to:][:to]
			clear(row[copy(row, src[p*b.row:][:t.cols]):])
		}
		return
	}
	whole := t.k &^ 7
	j := 0
	for ; j+8 <= t.cols && whole > 0; j += 8 {
		u.transpose8(t.panel[j:], to, src[j*b.col:], b.col, whole)
		for p := whole; p < t.k; p++ {
			for i := range 8 {
				t.panel[p*to+j+i] = src[p+(j+i)*b.col]
			}
		}
	}
	for ; j < t.cols; j++ {
		for p, v := range src[j*b.col:][:t.k] {
			t.panel[p*to+j] = v
		}
	}
	if j < to {
		for p := range t.k {
			clear(t.panel[p*to+j : (p+1)*to])
		}
	}
}

// scale computes c = beta·c.
func scale(m, n int, beta float32, c matrix) {
	for i := range m {
		for j := range n {
			if v := &c.data[i*c.row+j*c.col]; beta == 0 {
				*v = 0
			} else {
				*v *= beta
			}
		}
	}
}
