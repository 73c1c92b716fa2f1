// Package linalg is dense linear algebra in float64, in Go alone: products, Cholesky factors and the eigenvalues of
// symmetric matrices, as scores need them. They take most of the time of a Fréchet distance, so the work is cast as
// products of blocks (lib/microkernel) wherever its order of operations allows.
//
// Results have the same bits on every processor, at every width of vectors and on any number of cores: work is cut
// into blocks that depend on the shape alone, sums are taken in one fixed order, and multiply-adds are fused
// explicitly.
//
// Matrices are row-major; a stride is the distance of rows in elements. A slice that is shorter than its shape says
// is a panic. Functions use all cores and are safe for concurrent use.
//
// Note: OpenBLAS by dlopen was rejected: it was no faster, its bits depend on the processor and on the number of
// threads, and a program had to say which of two libraries computed a score.
package linalg

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// ErrNotPositiveDefinite says that a matrix has no Cholesky factor.
var ErrNotPositiveDefinite = errors.New("matrix is not positive definite")

// checkMatrix panics if rows rows of cols elements, stride apart, are not within length elements.
func checkMatrix(rows, cols, stride, length int) {
	if rows < 0 || cols < 0 {
		panic(fmt.Sprintf("linalg: matrix of %d by %d", rows, cols))
	}
	if stride < cols {
		panic("linalg: row stride shorter than a row")
	}
	if rows > 0 && cols > 0 && (rows-1)*stride+cols > length {
		panic("linalg: matrix longer than its slice")
	}
}

// checkSymmetric is checkMatrix for a, [n, n], and returns an error if its upper triangle has a value that is not
// finite.
func checkSymmetric(what string, n int, a []float64, stride int) error {
	checkMatrix(n, n, stride, len(a))
	bad := make([]error, blocks(n, rowBlock))
	parallel(len(bad), func(t int) {
		for i := t * rowBlock; i < min((t+1)*rowBlock, n); i++ {
			for j, v := range a[i*stride+i : i*stride+n] {
				if v-v != 0 {
					bad[t] = fmt.Errorf("%s: the matrix has %g at (%d, %d), expected finite values", what, v, i, i+j)
					return
				}
			}
		}
	})
	for _, err := range bad {
		if err != nil {
			return err
		}
	}
	return nil
}

// clearBelow zeroes what does not belong to an upper triangular factor of the given rank.
func clearBelow(n, rank int, a []float64, stride int) {
	parallel(blocks(n, rowBlock), func(t int) {
		for i := t * rowBlock; i < min((t+1)*rowBlock, n); i++ {
			to := i
			if i >= rank {
				to = n
			}
			clear(a[i*stride : i*stride+to])
		}
	})
}

// rowBlock is how many rows of a matrix a goroutine takes at a time where rows are independent.
const rowBlock = 64

// blocks is the number of blocks of the given size that cover n.
func blocks(n, size int) int { return (n + size - 1) / size }

// parallel calls work(i) once for each i < n, on as many goroutines as there are processors. Nothing may depend on
// the order.
func parallel(n int, work func(i int)) {
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
