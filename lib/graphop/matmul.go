package graphop

import (
	"fmt"

	"gorgonia.org/tensor"
	"vapo/lib/blas"
	"vapo/lib/kernel"
)

// Product is a batched matrix product op(a)·op(b).
type Product struct{ TransA, TransB bool }

// MatMul returns a·b for a [M,K], b [K,N], or batches of them [B,M,K], [B,K,N]. transA says that a is stored
// [K,M], transB that b is stored [N,K].
func MatMul(a, b *Node, transA, transB bool) *Node {
	p := &Product{TransA: transA, TransB: transB}
	s, t := a.Shape(), b.Shape()
	if len(s) != len(t) || len(s) < 2 || len(s) > 3 || (len(s) == 3 && s[0] != t[0]) {
		fail(p.Name(), "expected two matrices, or two batches of as many", a, b)
	}
	batch, m, n, k, k2 := p.dims(s, t)
	if k != k2 {
		fail(p.Name(), fmt.Sprintf("inner dimensions %d and %d differ", k, k2), a, b)
	}
	out := tensor.Shape{m, n}
	if len(s) == 3 {
		out = tensor.Shape{batch, m, n}
	}
	return apply(p, out, a, b)
}

func (p *Product) dims(s, t []int) (batch, m, n, k, k2 int) {
	batch = 1
	if len(s) == 3 {
		batch, s, t = s[0], s[1:], t[1:]
	}
	m, k, k2, n = s[0], s[1], t[0], t[1]
	if p.TransA {
		m, k = k, m
	}
	if p.TransB {
		k2, n = n, k2
	}
	return batch, m, n, k, k2
}

// Name implements Kind.
func (p *Product) Name() string { return fmt.Sprintf("matmul(%t,%t)", p.TransA, p.TransB) }

// Diff implements Kind. With C = op(A)·op(B): dA = G·op(B)^T and dB = op(A)^T·G, each transposed back where the
// operand is stored transposed.
func (p *Product) Diff(in []*Node, _, g *Node, needed []bool) []*Node {
	a, b := in[0], in[1]
	out := make([]*Node, 2)
	if needed[0] {
		if p.TransA {
			out[0] = MatMul(b, g, p.TransB, true)
		} else {
			out[0] = MatMul(g, b, false, !p.TransB)
		}
	}
	if needed[1] {
		if p.TransB {
			out[1] = MatMul(g, a, true, p.TransA)
		} else {
			out[1] = MatMul(a, g, !p.TransA, false)
		}
	}
	return out
}

// Lower implements Kind.
func (p *Product) Lower(op *Operation, _ blas.Library) Kernels {
	batch, m, n, k, _ := p.dims(op.In[0], op.In[1])
	return lower32and64(op,
		func() func([]float32, [][]float32) {
			mm := kernel.NewMatMul[float32](p.TransA, p.TransB, batch, m, n, k)
			return func(dst []float32, src [][]float32) { mm.Run(dst, src[0], src[1]) }
		},
		func() func([]float64, [][]float64) {
			mm := kernel.NewMatMul[float64](p.TransA, p.TransB, batch, m, n, k)
			return func(dst []float64, src [][]float64) { mm.Run(dst, src[0], src[1]) }
		})
}
