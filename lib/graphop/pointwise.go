package graphop

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"
	"vapo/lib/blas"
	"vapo/lib/kernel"
)

// Pointwise is an operation on corresponding elements. Operands have one rank; a dimension of 1 is repeated to
// fit the others (broadcast), without a copy being made.
type Pointwise struct {
	Code kernel.Code
	P, Q float64 // constants of the operation, see kernel.Code
}

// Name implements Kind.
func (p *Pointwise) Name() string {
	if p.P == 0 && p.Q == 0 {
		return p.Code.String()
	}
	return fmt.Sprintf("%s(%g,%g)", p.Code, p.P, p.Q)
}

func pointwise(code kernel.Code, p, q float64, in ...*Node) *Node {
	return apply(&Pointwise{Code: code, P: p, Q: q}, broadcastShape(code.String(), in...), in...)
}

// broadcastShape is the shape that all operands fit to.
func broadcastShape(name string, in ...*Node) tensor.Shape {
	out := in[0].Shape()
	for _, n := range in[1:] {
		s := n.Shape()
		if len(s) != len(out) {
			fail(name, "ranks differ", in...)
		}
		for d := range s {
			switch {
			case out[d] == s[d] || s[d] == 1:
			case out[d] == 1:
				out[d] = s[d]
			default:
				fail(name, fmt.Sprintf("dimension %d does not broadcast", d), in...)
			}
		}
	}
	return out
}

// Affine returns p·x + q.
func Affine(x *Node, p, q float64) *Node {
	if p == 1 && q == 0 {
		return x
	}
	if v, ok := isFill(x); ok {
		return Fill(x, float64(p*v)+q, x.Shape()...)
	}
	if k := kindOf(x, kernel.Affine); k != nil { // p·(p'·x + q') + q
		return Affine(Children(x)[0], p*k.P, float64(p*k.Q)+q)
	}
	return pointwise(kernel.Affine, p, q, x)
}

func kindOf(n *Node, code kernel.Code) *Pointwise {
	if op := Of(n); op != nil {
		if k, ok := op.Kind.(*Pointwise); ok && k.Code == code {
			return k
		}
	}
	return nil
}

// Scale returns p·x.
func Scale(x *Node, p float64) *Node { return Affine(x, p, 0) }

// Neg returns -x.
func Neg(x *Node) *Node { return Affine(x, -1, 0) }

// AddScalar returns x + q.
func AddScalar(x *Node, q float64) *Node { return Affine(x, 1, q) }

// Add returns a + b.
func Add(a, b *Node) *Node {
	a, b = unbroadcast(a, b)
	if v, ok := isFill(b); ok && fits(b, a) {
		return Affine(a, 1, v)
	}
	if v, ok := isFill(a); ok && fits(a, b) {
		return Affine(b, 1, v)
	}
	return pointwise(kernel.Add, 0, 0, a, b)
}

// Sub returns a - b.
func Sub(a, b *Node) *Node {
	a, b = unbroadcast(a, b)
	if v, ok := isFill(b); ok && fits(b, a) {
		return Affine(a, 1, -v)
	}
	if v, ok := isFill(a); ok && fits(a, b) {
		return Affine(b, -1, v)
	}
	return pointwise(kernel.Sub, 0, 0, a, b)
}

// Mul returns a · b, element by element.
func Mul(a, b *Node) *Node {
	a, b = unbroadcast(a, b)
	if v, ok := isFill(b); ok && fits(b, a) {
		return Affine(a, v, 0)
	}
	if v, ok := isFill(a); ok && fits(a, b) {
		return Affine(b, v, 0)
	}
	return pointwise(kernel.Mul, 0, 0, a, b)
}

// Div returns a / b, element by element.
func Div(a, b *Node) *Node {
	a, b = unbroadcast(a, b)
	if v, ok := isFill(b); ok && fits(b, a) {
		return Affine(a, 1/v, 0)
	}
	return pointwise(kernel.Div, 0, 0, a, b)
}

// fits reports whether a broadcasts to b without changing b's shape.
func fits(a, b *Node) bool {
	s, t := a.Shape(), b.Shape()
	if len(s) != len(t) {
		return false
	}
	for d := range s {
		if s[d] != t[d] && s[d] != 1 {
			return false
		}
	}
	return true
}

// unbroadcast drops explicit broadcasts that the operation would do by itself.
func unbroadcast(a, b *Node) (*Node, *Node) {
	if k := kindOf(a, kernel.Copy); k != nil && SameShape(a.Shape(), b.Shape()) {
		a = Children(a)[0]
	} else if k := kindOf(b, kernel.Copy); k != nil && SameShape(a.Shape(), b.Shape()) {
		b = Children(b)[0]
	}
	return a, b
}

// Square returns x².
func Square(x *Node) *Node { return Mul(x, x) }

// Max returns the larger of a and b; at equality the derivative is b's.
func Max(a, b *Node) *Node { return pointwise(kernel.Max, 0, 0, a, b) }

// Min returns the smaller of a and b; at equality the derivative is a's.
func Min(a, b *Node) *Node { return pointwise(kernel.Min, 0, 0, a, b) }

// Exp returns e^x.
func Exp(x *Node) *Node { return pointwise(kernel.Exp, 0, 0, x) }

// Log returns the natural logarithm of x.
func Log(x *Node) *Node { return pointwise(kernel.Log, 0, 0, x) }

// Sqrt returns the square root of x.
func Sqrt(x *Node) *Node { return pointwise(kernel.Sqrt, 0, 0, x) }

// Sin returns sin x.
func Sin(x *Node) *Node { return pointwise(kernel.Sin, 0, 0, x) }

// Cos returns cos x.
func Cos(x *Node) *Node { return pointwise(kernel.Cos, 0, 0, x) }

// Sigmoid returns 1/(1+e^-x).
func Sigmoid(x *Node) *Node { return pointwise(kernel.Sigmoid, 0, 0, x) }

// SiLU returns x·sigmoid(x) (Hendrycks and Gimpel, arXiv 1606.08415).
func SiLU(x *Node) *Node { return siluDeriv(x, Sigmoid(x), 0) }

// siluDeriv is the order-th derivative of SiLU at x, given s = sigmoid(x). Its derivative in x is the next
// order, with the dependence of s on x counted in: s is there only so that all orders share one exponential.
func siluDeriv(x, s *Node, order int) *Node {
	return pointwise(kernel.SiLU, float64(order), 0, x, s)
}

// ReLU returns max(x, 0); its derivative at 0 is 0.
func ReLU(x *Node) *Node { return Mul(x, Step(x)) }

// Step returns 1 where x > 0 and 0 elsewhere; its derivative is 0.
func Step(x *Node) *Node { return pointwise(kernel.Step, 0, 0, x) }

// Clip returns x where lo <= x <= hi, and the nearer bound elsewhere; a NaN stays. The derivative is 1 from bound to
// bound, both included, and 0 outside.
func Clip(x *Node, lo, hi float64) *Node {
	if !(lo <= hi) {
		fail("clip", fmt.Sprintf("the bounds are %v and %v, expected the lower one first", lo, hi), x)
	}
	one := onesLike(x)
	return Min(Max(Fill(x, lo, one...), x), Fill(x, hi, one...))
}

// Erf returns the error function of x, 2/sqrt(pi) times the integral of e^-s² from 0 to x.
func Erf(x *Node) *Node { return pointwise(kernel.Erf, 0, 0, x) }

// GELU returns x·P(X <= x) for a standard normal X, (x/2)·(1 + erf(x/sqrt 2)), exactly and not by a tanh (Hendrycks and
// Gimpel, arXiv 1606.08415).
func GELU(x *Node) *Node { return Mul(x, Affine(Erf(Scale(x, math.Sqrt2/2)), 0.5, 0.5)) }

// Where returns a where c is not 0, else b. Unlike a sum of products it does not let a NaN through from the
// side that was not chosen.
func Where(c, a, b *Node) *Node { return pointwise(kernel.Where, 0, 0, c, a, b) }

// IsFinite returns 1 where x is neither infinite nor NaN, and 0 elsewhere; its derivative is 0.
func IsFinite(x *Node) *Node { return pointwise(kernel.IsFinite, 0, 0, x) }

// Broadcast repeats x along its dimensions of size 1 to the given shape.
func Broadcast(x *Node, shape ...int) *Node {
	s := x.Shape()
	if SameShape(s, shape) {
		return x
	}
	if v, ok := isFill(x); ok {
		return Fill(x, v, shape...)
	}
	if len(s) != len(shape) {
		fail("broadcast", fmt.Sprintf("rank differs from the target %v", shape), x)
	}
	for d := range s {
		if s[d] != shape[d] && s[d] != 1 {
			fail("broadcast", fmt.Sprintf("dimension %d does not fit the target %v", d, shape), x)
		}
	}
	return apply(&Pointwise{Code: kernel.Copy}, shape, x)
}

// Diff implements Kind.
func (p *Pointwise) Diff(in []*Node, y, g *Node, needed []bool) []*Node {
	out := make([]*Node, len(in))
	set := func(i int, grad func() *Node) {
		if needed[i] {
			out[i] = SumTo(grad(), in[i].Shape()...)
		}
	}
	a := in[0]
	switch p.Code {
	case kernel.Copy:
		set(0, func() *Node { return g })
	case kernel.Affine:
		set(0, func() *Node { return Scale(g, p.P) })
	case kernel.Add:
		set(0, func() *Node { return g })
		set(1, func() *Node { return g })
	case kernel.Sub:
		set(0, func() *Node { return g })
		set(1, func() *Node { return Neg(g) })
	case kernel.Mul:
		set(0, func() *Node { return Mul(g, in[1]) })
		set(1, func() *Node { return Mul(g, a) })
	case kernel.Div:
		set(0, func() *Node { return Div(g, in[1]) })
		set(1, func() *Node { return Neg(Div(Mul(g, y), in[1])) })
	case kernel.Max:
		set(0, func() *Node { return Mul(g, Step(Sub(a, in[1]))) })
		set(1, func() *Node { return Mul(g, Affine(Step(Sub(a, in[1])), -1, 1)) })
	case kernel.Min:
		set(0, func() *Node { return Mul(g, Affine(Step(Sub(a, in[1])), -1, 1)) })
		set(1, func() *Node { return Mul(g, Step(Sub(a, in[1]))) })
	case kernel.Exp:
		set(0, func() *Node { return Mul(g, y) })
	case kernel.Log:
		set(0, func() *Node { return Div(g, a) })
	case kernel.Sqrt:
		set(0, func() *Node { return Div(Scale(g, 0.5), y) })
	case kernel.Sin:
		set(0, func() *Node { return Mul(g, Cos(a)) })
	case kernel.Cos:
		set(0, func() *Node { return Neg(Mul(g, Sin(a))) })
	case kernel.Sigmoid:
		set(0, func() *Node { return Mul(g, Mul(y, Affine(y, -1, 1))) })
	case kernel.SiLU:
		set(0, func() *Node { return Mul(g, siluDeriv(a, in[1], int(p.P)+1)) })
	case kernel.Erf:
		set(0, func() *Node { return Mul(g, Scale(Exp(Neg(Square(a))), 2/math.Sqrt(math.Pi))) })
	case kernel.Where:
		set(1, func() *Node { return Where(a, g, Fill(g, 0, onesLike(g)...)) })
		set(2, func() *Node { return Where(a, Fill(g, 0, onesLike(g)...), g) })
	case kernel.Step, kernel.IsFinite:
	}
	return out
}

func onesLike(n *Node) []int {
	s := n.Shape()
	for i := range s {
		s[i] = 1
	}
	return s
}

// Lower implements Kind.
func (p *Pointwise) Lower(op *Operation, _ blas.Library) Kernels {
	prog := p.program(op)
	return lower32and64(op,
		func() func([]float32, [][]float32) { return runPointwise[float32](prog, len(op.In)) },
		func() func([]float64, [][]float64) { return runPointwise[float64](prog, len(op.In)) })
}

func runPointwise[T kernel.Float](prog kernel.Program, n int) func([]T, [][]T) {
	k := kernel.NewPointwise[T](prog)
	slots := make([][]T, n+1)
	return func(dst []T, src [][]T) {
		slots[copy(slots, src)] = dst
		k.Run(slots)
	}
}

// program is the one-instruction program of a single node; the tape backend fuses chains into longer ones.
func (p *Pointwise) program(op *Operation) kernel.Program {
	prog := kernel.Program{Dims: op.Out}
	in := kernel.Instr{Code: p.Code, P: p.P, Q: p.Q, Dst: len(op.In)}
	for i, s := range op.In {
		prog.Operands = append(prog.Operands, kernel.Operand{Slot: i, Strides: Strides(s, op.Out)})
		in.Args[i] = i
	}
	prog.Operands = append(prog.Operands, kernel.Operand{Slot: len(op.In), Strides: Strides(op.Out, op.Out), Output: true})
	prog.Instrs = []kernel.Instr{in}
	return prog
}

// Strides returns the element step per dimension of a row-major operand of shape s inside the iteration space
// out: 0 where s is broadcast.
func Strides(s, out tensor.Shape) []int {
	st := make([]int, len(out))
	step := 1
	for d := len(out) - 1; d >= 0; d-- {
		if s[d] != 1 {
			st[d] = step
		}
		step *= s[d]
	}
	return st
}
