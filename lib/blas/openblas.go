//go:build linux || darwin || freebsd

package blas

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// ErrNoOpenBLAS says that no OpenBLAS could be opened on this machine.
var ErrNoOpenBLAS = errors.New("openblas is not installed")

// libraryNames are tried in order; VAPO_OPENBLAS names another file before them.
var libraryNames = []string{
	"libopenblas.so.0", "libopenblas.so",
	"libopenblas.dylib", "/opt/homebrew/opt/openblas/lib/libopenblas.dylib", "/usr/local/opt/openblas/lib/libopenblas.dylib",
}

type openblas struct {
	handle  uintptr
	version string
	sgemm   uintptr
	dgemm   uintptr
}

var openBLAS = sync.OnceValues(func() (Library, error) {
	names := libraryNames
	if f := os.Getenv("VAPO_OPENBLAS"); f != "" {
		names = []string{f}
	}
	var handle uintptr
	var tried []string
	for _, name := range names {
		h, err := purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_LOCAL)
		if err == nil {
			handle = h
			break
		}
		tried = append(tried, name)
	}
	if handle == 0 {
		return nil, fmt.Errorf("%w (tried %s)", ErrNoOpenBLAS, strings.Join(tried, ", "))
	}
	o := &openblas{handle: handle}
	for name, dst := range map[string]*uintptr{"sgemm_": &o.sgemm, "dgemm_": &o.dgemm} {
		p, err := purego.Dlsym(handle, name)
		if err != nil {
			return nil, fmt.Errorf("openblas lacks %s: %w", name, err)
		}
		*dst = p
	}
	o.version = "OpenBLAS"
	if p, err := purego.Dlsym(handle, "openblas_get_config"); err == nil {
		var config func() string
		purego.RegisterFunc(&config, p)
		o.version = strings.TrimSpace(config())
	}
	// One thread a call: the callers split the work (see the package comment).
	p, err := purego.Dlsym(handle, "openblas_set_num_threads")
	if err != nil {
		return nil, fmt.Errorf("openblas lacks openblas_set_num_threads: %w", err)
	}
	var setThreads func(int32)
	purego.RegisterFunc(&setThreads, p)
	setThreads(1)
	return o, nil
})

func (*openblas) Class() string     { return "openblas" }
func (o *openblas) Version() string { return o.version }

// gemmArgs is what one Fortran gemm call points to. It lives on the heap, where Go's collector never moves
// it, and is recycled so that a call allocates nothing.
type gemmArgs struct {
	transA, transB byte
	m, n, k        int32
	lda, ldb, ldc  int32
	alpha32        float32
	beta32         float32
	alpha64        float64
	beta64         float64
	// a, b and c keep the operands on the heap and alive while the library reads them.
	a, b, c unsafe.Pointer
	list    [13]uintptr
}

var argsPool = sync.Pool{New: func() any { return new(gemmArgs) }}

func flag(t bool) byte {
	if t {
		return 'T'
	}
	return 'N'
}

// call runs a Fortran gemm (column-major) for row-major operands: C^T = op(B)^T op(A)^T, so the operands swap.
//
// Note: the Fortran interface passes every argument by address, which SyscallN can do without reflection;
// cblas_sgemm takes its floats by value and would need purego's reflective path (1-2 us and an allocation a call).
func (g *gemmArgs) call(fn uintptr, alpha, beta unsafe.Pointer, transA, transB bool, m, n, k, lda, ldb, ldc int) {
	g.transA, g.transB = flag(transB), flag(transA)
	g.m, g.n, g.k = int32(n), int32(m), int32(k)
	g.lda, g.ldb, g.ldc = int32(ldb), int32(lda), int32(ldc)
	g.list = [13]uintptr{
		uintptr(unsafe.Pointer(&g.transA)), uintptr(unsafe.Pointer(&g.transB)),
		uintptr(unsafe.Pointer(&g.m)), uintptr(unsafe.Pointer(&g.n)), uintptr(unsafe.Pointer(&g.k)),
		uintptr(alpha), uintptr(g.b), uintptr(unsafe.Pointer(&g.lda)),
		uintptr(g.a), uintptr(unsafe.Pointer(&g.ldb)), uintptr(beta),
		uintptr(g.c), uintptr(unsafe.Pointer(&g.ldc)),
	}
	purego.SyscallN(fn, g.list[:]...)
	runtime.KeepAlive(g)
	g.a, g.b, g.c = nil, nil, nil
	argsPool.Put(g)
}

func (o *openblas) Sgemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	if m == 0 || n == 0 {
		return
	}
	checkGemm(transA, transB, m, n, k, len(a), lda, len(b), ldb, len(c), ldc)
	g := argsPool.Get().(*gemmArgs)
	g.alpha32, g.beta32 = alpha, beta
	g.a, g.b, g.c = unsafe.Pointer(unsafe.SliceData(a)), unsafe.Pointer(unsafe.SliceData(b)), unsafe.Pointer(unsafe.SliceData(c))
	g.call(o.sgemm, unsafe.Pointer(&g.alpha32), unsafe.Pointer(&g.beta32), transA, transB, m, n, k, lda, ldb, ldc)
}

func (o *openblas) Dgemm(transA, transB bool, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int) {
	if m == 0 || n == 0 {
		return
	}
	checkGemm(transA, transB, m, n, k, len(a), lda, len(b), ldb, len(c), ldc)
	g := argsPool.Get().(*gemmArgs)
	g.alpha64, g.beta64 = alpha, beta
	g.a, g.b, g.c = unsafe.Pointer(unsafe.SliceData(a)), unsafe.Pointer(unsafe.SliceData(b)), unsafe.Pointer(unsafe.SliceData(c))
	g.call(o.dgemm, unsafe.Pointer(&g.alpha64), unsafe.Pointer(&g.beta64), transA, transB, m, n, k, lda, ldb, ldc)
}
