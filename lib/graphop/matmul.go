package graphop

import (
	"fmt"

	"gorgonia.org/tensor"
)

// MatMulOp is a matrix product op(a)·op(b), or a batch of products. op transposes a if TransA is set, and b if TransB
// is set.
type MatMulOp struct{ TransA, TransB bool }

// MatMul returns the product a·b [M,N] of a [M,K] and b [K,N], or of batches [B,M,K] and [B,K,N]. With transA, a is
// stored as [K,M]; with transB, b is stored as [N,K].
func MatMul(a, b *Node, transA, transB bool) *Node {
	p := &MatMulOp{TransA: transA, TransB: transB}
	s, t := a.Shape(), b.Shape()
	if len(s) != len(t) || len(s) < 2 || len(s) > 3 || (len(s) == 3 && s[0] != t[0]) {
		fail(name(p), "expected two matrices or two batches of the same size", a, b)
	}
	batch, m, n, k, k2 := p.dims(s, t)
	if k != k2 {
		fail(name(p), fmt.Sprintf("inner dimensions %d and %d differ", k, k2), a, b)
	}
	out := tensor.Shape{m, n}
	if len(s) == 3 {
		out = tensor.Shape{batch, m, n}
	}
	return apply(p, out, a, b)
}

func (p *MatMulOp) dims(s, t []int) (batch, m, n, k, k2 int) {
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

// Dims returns the dimensions of the product of operands stored with shapes s and t. After transposition the operands
// are [batch,m,k] and [batch,k,n]. Matrices have batch 1.
func (p *MatMulOp) Dims(s, t []int) (batch, m, n, k int) {
	batch, m, n, k, _ = p.dims(s, t)
	return batch, m, n, k
}

// Diff implements Kind. With C = op(A)·op(B): dA = G·op(B)^T and dB = op(A)^T·G, each transposed back if the
// operand is stored transposed.
func (p *MatMulOp) Diff(in []*Node, _, g *Node, needed []bool) []*Node {
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
