package kernel

import "vapo/lib/blas"

// MatMul multiplies batches of matrices: op(a) [batch, m, k] times op(b) [batch, k, n] to [batch, m, n].
type MatMul[T Float] struct {
	Lib            blas.Library
	Batch, M, N, K int
	TransA, TransB bool // a is stored [k, m], b is stored [n, k]
	dst, a, b      []T
	rows, tiles    int
	body           func(worker, piece int)
}

// NewMatMul prepares a product. Its tiles depend on the shape alone.
func NewMatMul[T Float](lib blas.Library, transA, transB bool, batch, m, n, k int) *MatMul[T] {
	p := &MatMul[T]{Lib: lib, Batch: batch, M: m, N: n, K: k, TransA: transA, TransB: transB}
	// A tile of about 2^21 multiply-adds takes some 20 us, long against the dispatch; at least 16 rows keep
	// the library's inner kernel full.
	p.rows = min(m, max(16, (1<<21)/max(1, n*k)))
	if left := m % p.rows; m > p.rows && left < 16 && left > 0 {
		p.rows = m / max(1, m/p.rows)
		if m%p.rows != 0 {
			p.rows++
		}
	}
	p.tiles = (m + p.rows - 1) / p.rows
	p.body = p.tile
	return p
}

// Run computes dst = op(a)·op(b). It is not safe for concurrent use.
func (p *MatMul[T]) Run(dst, a, b []T) {
	p.dst, p.a, p.b = dst, a, b
	Parallel(p.Batch*p.tiles, p.body)
	p.dst, p.a, p.b = nil, nil, nil
}

func (p *MatMul[T]) tile(_, piece int) {
	n, t := piece/p.tiles, piece%p.tiles
	first := t * p.rows
	rows := min(p.rows, p.M-first)
	a, lda, ldb := p.a[n*p.M*p.K:(n+1)*p.M*p.K], p.K, p.N
	if p.TransA {
		a, lda = a[first:], p.M
	} else {
		a = a[first*p.K:]
	}
	if p.TransB {
		ldb = p.K
	}
	blas.Gemm(p.Lib, p.TransA, p.TransB, rows, p.N, p.K, 1, a, lda, p.b[n*p.K*p.N:(n+1)*p.K*p.N], ldb, 0, p.dst[(n*p.M+first)*p.N:(n+1)*p.M*p.N], p.N)
}
