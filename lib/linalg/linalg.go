// Package linalg provides the dense linear algebra in float64 that scores need: products, Cholesky factors and
// eigenvalues of symmetric matrices. These functions take most of the time of a Fréchet distance. Therefore they use
// products of blocks (lib/microkernel) wherever the order of operations allows it.
//
// Results have the same bits on every processor, at every vector width and on any number of cores: the division of work
// into blocks depends only on the shape, sums are taken in a fixed order, and multiply-adds are fused explicitly.
//
// Matrices are row-major. A stride is the number of elements from one row to the next. Functions panic if a slice is
// too short for its shape. They use all cores and are safe for concurrent use.
//
// Note: OpenBLAS, loaded with dlopen, was rejected. It was no faster, and the bits of its results depend on the
// processor and on the number of threads. Every score would have had to name the library that computed it.
package linalg

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// ErrNotPositiveDefinite is the error that Cholesky returns for a matrix without a Cholesky factor.
var ErrNotPositiveDefinite = errors.New("matrix is not positive definite")

// checkMatrix panics if rows or cols is negative, the stride is shorter than a row, or the matrix [rows, cols] does not
// fit into length elements.
func checkMatrix(rows, cols, stride, length int) {
	if rows < 0 || cols < 0 {
		panic(fmt.Sprintf("linalg: matrix of %d by %d, expected sizes of 0 or more", rows, cols))
	}
	if stride < cols {
		panic("linalg: row stride shorter than a row")
	}
	if rows > 0 && cols > 0 && (rows-1)*stride+cols > length {
		panic("linalg: matrix longer than its slice")
	}
}

// checkSymmetric calls checkMatrix for a, [n, n]. It returns an error if a value in the upper triangle is not finite.
func checkSymmetric(what string, n int, a []float64, stride int) error {
	checkMatrix(n, n, stride, len(a))
	bad := make([]error, blocks(n, rowBlock))
	eachRow(n, func(t, i int) {
		for j, v := range a[i*stride+i : i*stride+n] {
			if v-v != 0 && bad[t] == nil {
				bad[t] = fmt.Errorf("%s: the matrix has %g at (%d, %d), expected finite values", what, v, i, i+j)
			}
		}
	})
	return cmp.Or(bad...)
}

// clearBelow sets the elements below the diagonal and all rows from index rank to zero.
func clearBelow(n, rank int, a []float64, stride int) {
	eachRow(n, func(_, i int) {
		to := i
		if i >= rank {
			to = n
		}
		clear(a[i*stride : i*stride+to])
	})
}

// rowBlock is the number of rows that a goroutine processes at a time in eachRow.
const rowBlock = 64

// blocks is the number of blocks of the given size that cover n.
func blocks(n, size int) int { return (n + size - 1) / size }

// eachRow calls work once for each row i < n. Blocks of rowBlock rows run in parallel. block is the index of the block
// that contains row i.
func eachRow(n int, work func(block, i int)) {
	Parallel(blocks(n, rowBlock), func(block int) {
		for i := block * rowBlock; i < min((block+1)*rowBlock, n); i++ {
			work(block, i)
		}
	})
}

// Parallel calls work(i) once for each i < n, on as many goroutines as there are processors, and returns when all calls
// have returned. Results must not depend on the order of the calls.
func Parallel(n int, work func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	if workers <= 1 {
		for i := range n {
			work(i)
		}
		return
	}
	var next atomic.Int64
	run := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			work(i)
		}
	}
	var wait sync.WaitGroup
	for range workers - 1 {
		wait.Go(run)
	}
	run()
	wait.Wait()
}
