package graphop

import (
	"fmt"

	"gorgonia.org/tensor"
	"vapo/lib/blas"
	"vapo/lib/kernel"
)

// Pool averages K x K tiles of the last two axes.
type Pool struct{ K int }

// AvgPool returns the means of the k x k tiles of x [N,C,H,W]; k divides H and W. Its adjoint is Upsample / k².
func AvgPool(x *Node, k int) *Node {
	s := x.Shape()
	if len(s) != 4 || k < 1 || s[2]%k != 0 || s[3]%k != 0 {
		fail("avgpool", fmt.Sprintf("expected [N,C,H,W] with height and width divisible by %d", k), x)
	}
	return apply(&Pool{K: k}, tensor.Shape{s[0], s[1], s[2] / k, s[3] / k}, x)
}

// Name implements Kind.
func (p *Pool) Name() string { return fmt.Sprintf("avgpool(%d)", p.K) }

// Diff implements Kind.
func (p *Pool) Diff(_ []*Node, _, g *Node, _ []bool) []*Node {
	return []*Node{Scale(Upsample(g, p.K), 1/float64(p.K*p.K))}
}

// Lower implements Kind.
func (p *Pool) Lower(op *Operation, _ blas.Library) Kernels {
	s := op.In[0]
	return lower32and64(op,
		func() func([]float32, [][]float32) {
			k := kernel.NewAvgPool[float32](s[0]*s[1], s[2], s[3], p.K)
			return func(dst []float32, src [][]float32) { k.Run(dst, src[0]) }
		},
		func() func([]float64, [][]float64) {
			k := kernel.NewAvgPool[float64](s[0]*s[1], s[2], s[3], p.K)
			return func(dst []float64, src [][]float64) { k.Run(dst, src[0]) }
		})
}

// Repeat repeats every element of the last two axes K x K times.
type Repeat struct{ K int }

// Upsample returns x [N,C,H,W] enlarged k times by nearest neighbour. Its adjoint is AvgPool · k².
func Upsample(x *Node, k int) *Node {
	s := x.Shape()
	if len(s) != 4 || k < 1 {
		fail("upsample", "expected [N,C,H,W]", x)
	}
	return apply(&Repeat{K: k}, tensor.Shape{s[0], s[1], s[2] * k, s[3] * k}, x)
}

// Name implements Kind.
func (r *Repeat) Name() string { return fmt.Sprintf("upsample(%d)", r.K) }

// Diff implements Kind.
func (r *Repeat) Diff(_ []*Node, _, g *Node, _ []bool) []*Node {
	return []*Node{Scale(AvgPool(g, r.K), float64(r.K*r.K))}
}

// Lower implements Kind.
func (r *Repeat) Lower(op *Operation, _ blas.Library) Kernels {
	s := op.In[0]
	return lower32and64(op,
		func() func([]float32, [][]float32) {
			k := kernel.NewUpsample[float32](s[0]*s[1], s[2], s[3], r.K)
			return func(dst []float32, src [][]float32) { k.Run(dst, src[0]) }
		},
		func() func([]float64, [][]float64) {
			k := kernel.NewUpsample[float64](s[0]*s[1], s[2], s[3], r.K)
			return func(dst []float64, src [][]float64) { k.Run(dst, src[0]) }
		})
}
