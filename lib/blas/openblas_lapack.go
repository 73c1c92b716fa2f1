//go:build linux || darwin || freebsd

package blas

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// factors are OpenBLAS's LAPACK routines, by their Fortran names.
type factors struct{ dpotrf, dpstrf, dsyev uintptr }

// openFactors returns nil where a routine is missing: OpenBLAS can be built without LAPACK. Then pureGo factors, and
// Version says so.
func openFactors(handle uintptr, names ...string) *factors {
	f := &factors{}
	for i, dst := range []*uintptr{&f.dpotrf, &f.dpstrf, &f.dsyev} {
		p, err := purego.Dlsym(handle, names[i])
		if err != nil {
			return nil
		}
		*dst = p
	}
	return f
}

// factorThreads is the number of threads of a factorisation on every machine, as OpenBLAS's roundings change with it.
// Two halve the time of the products inside; what bounds it beyond, the way to tridiagonal form, waits for memory.
const factorThreads = 2

// factorArgs is what a Fortran call points to; see gemmArgs.
type factorArgs struct {
	job, uplo     byte
	n, lda, lwork int32
	rank, info    int32
	tol           float64
	args          []unsafe.Pointer
}

var factorPool = sync.Pool{New: func() any { return new(factorArgs) }}

func newFactorArgs(a factorArgs) *factorArgs {
	f := factorPool.Get().(*factorArgs)
	*f = a
	return f
}

// factor calls a routine alone, with several threads, and returns its info.
//
// Note: OpenBLAS's number of threads could also be raised without waiting for products, whose results stay right. But
// a product cut among threads may differ in its last bits.
func (o *openblas) factor(name string, fn uintptr, f *factorArgs, args ...unsafe.Pointer) (info int, err error) {
	f.args = args // on the heap, like what they point to
	list := make([]uintptr, 0, 12)
	for _, a := range args {
		list = append(list, uintptr(a))
	}
	// Fortran passes the lengths of strings behind the arguments; no routine here has more than two.
	list = append(list, uintptr(unsafe.Pointer(&f.info)), 1, 1)
	o.threads.Lock()
	runtime.LockOSThread() // with OpenMP the number belongs to the thread
	o.setThreads(factorThreads)
	purego.SyscallN(fn, list...)
	o.setThreads(1)
	runtime.UnlockOSThread()
	o.threads.Unlock()
	f.args = nil
	if f.info < 0 {
		return 0, fmt.Errorf("%s: openblas refuses argument %d", name, -f.info)
	}
	return int(f.info), nil
}

// In column-major order, Fortran's, a matrix here is its transpose: the upper triangle is Fortran's lower one.

func (o *openblas) Cholesky(n int, a []float64, lda int) error {
	if o.factors == nil {
		return pureGo{}.Cholesky(n, a, lda)
	}
	if err := checkSquare("cholesky", n, a, lda); err != nil || n == 0 {
		return err
	}
	f := newFactorArgs(factorArgs{uplo: 'L', n: int32(n), lda: int32(lda)})
	defer factorPool.Put(f)
	info, err := o.factor("cholesky", o.factors.dpotrf, f,
		unsafe.Pointer(&f.uplo), unsafe.Pointer(&f.n), unsafe.Pointer(unsafe.SliceData(a)), unsafe.Pointer(&f.lda))
	if err != nil {
		return err
	}
	if info > 0 {
		return ErrNotPositiveDefinite
	}
	clearLower(n, n, a, lda)
	return nil
}

func (o *openblas) PivotedCholesky(n int, a []float64, lda int, tol float64, pivots []int) (int, error) {
	if o.factors == nil {
		return pureGo{}.PivotedCholesky(n, a, lda, tol, pivots)
	}
	if rest, err := checkPivoted(n, a, lda, tol, pivots); err != nil || !rest {
		return 0, err
	}
	f := newFactorArgs(factorArgs{uplo: 'L', n: int32(n), lda: int32(lda), tol: tol})
	defer factorPool.Put(f)
	from, work := make([]int32, n), make([]float64, 2*n)
	// Its info tells no more than the rank.
	if _, err := o.factor("pivoted cholesky", o.factors.dpstrf, f,
		unsafe.Pointer(&f.uplo), unsafe.Pointer(&f.n), unsafe.Pointer(unsafe.SliceData(a)), unsafe.Pointer(&f.lda),
		unsafe.Pointer(unsafe.SliceData(from)), unsafe.Pointer(&f.rank), unsafe.Pointer(&f.tol),
		unsafe.Pointer(unsafe.SliceData(work))); err != nil {
		return 0, err
	}
	for i, p := range from {
		pivots[i] = int(p) - 1
	}
	clearLower(n, int(f.rank), a, lda)
	return int(f.rank), nil
}

func (o *openblas) Eigenvalues(n int, a []float64, lda int, values []float64) error {
	if o.factors == nil {
		return pureGo{}.Eigenvalues(n, a, lda, values)
	}
	if err := checkEigenvalues(n, a, lda, values); err != nil || n == 0 {
		return err
	}
	f := newFactorArgs(factorArgs{job: 'N', uplo: 'L', n: int32(n), lda: int32(lda), lwork: int32(min(64*n, math.MaxInt32))})
	defer factorPool.Put(f)
	work := make([]float64, f.lwork)
	info, err := o.factor("eigenvalues", o.factors.dsyev, f,
		unsafe.Pointer(&f.job), unsafe.Pointer(&f.uplo), unsafe.Pointer(&f.n), unsafe.Pointer(unsafe.SliceData(a)),
		unsafe.Pointer(&f.lda), unsafe.Pointer(unsafe.SliceData(values)), unsafe.Pointer(unsafe.SliceData(work)),
		unsafe.Pointer(&f.lwork))
	if err != nil {
		return err
	}
	if info > 0 {
		return errNoConvergence
	}
	return nil
}
