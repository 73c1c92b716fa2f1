package graphop

import (
	"fmt"

	"gorgonia.org/tensor"

	"vapo/lib/kernel"
)

// PointwiseOp computes each element of the result from the corresponding elements of the operands. All operands have
// the same rank. A dimension of 1 is broadcast, without a copy, to the size that the other operands have there.
type PointwiseOp struct {
	Code kernel.Code
	P, Q float64 // see kernel.Code
}

func pointwise(code kernel.Code, p, q float64, in ...*Node) *Node {
	return apply(&PointwiseOp{Code: code, P: p, Q: q}, broadcastShape(code.String(), in...), in...)
}

// broadcastShape returns the shape that all operands broadcast to.
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
	if k := pointwiseOf(x, kernel.Affine); k != nil { // p·(p'·x + q') + q
		return Affine(Children(x)[0], p*k.P, float64(p*k.Q)+q)
	}
	return pointwise(kernel.Affine, p, q, x)
}

// pointwiseOf returns the operation of n if it is a PointwiseOp with this code, else nil.
func pointwiseOf(n *Node, code kernel.Code) *PointwiseOp {
	if k, ok := kindOf[*PointwiseOp](n); ok && k.Code == code {
		return k
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

// fits reports whether a broadcasts to the shape of b.
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

// unbroadcast removes an explicit Broadcast of an operand if the binary operation broadcasts the operand anyway.
func unbroadcast(a, b *Node) (*Node, *Node) {
	if k := pointwiseOf(a, kernel.Copy); k != nil && SameShape(a.Shape(), b.Shape()) {
		a = Children(a)[0]
	} else if k := pointwiseOf(b, kernel.Copy); k != nil && SameShape(a.Shape(), b.Shape()) {
		b = Children(b)[0]
	}
	return a, b
}

// Square returns x².
func Square(x *Node) *Node { return Mul(x, x) }

// Max returns the larger of a and b; if they are equal, b gets the derivative.
func Max(a, b *Node) *Node { return pointwise(kernel.Max, 0, 0, a, b) }

// Min returns the smaller of a and b; if they are equal, a gets the derivative.
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

// siluDeriv returns the order-th derivative of SiLU at x, given s = sigmoid(x). The derivative with respect to x is
// siluDeriv of the next order, which includes the dependence of s on x. The derivative with respect to s is therefore
// defined as 0. s is an operand only so that all orders share one exponential.
func siluDeriv(x, s *Node, order int) *Node {
	return pointwise(kernel.SiLU, float64(order), 0, x, s)
}

// ReLU returns max(x, 0); its derivative at 0 is 0.
func ReLU(x *Node) *Node { return Mul(x, Heaviside(x)) }

// Heaviside returns 1 if x > 0, else 0; its derivative is 0.
func Heaviside(x *Node) *Node { return pointwise(kernel.Heaviside, 0, 0, x) }

// Where returns a if c is not 0, else b. Unlike c·a + (1-c)·b, it does not propagate a NaN from the operand that is not
// selected.
func Where(c, a, b *Node) *Node { return pointwise(kernel.Where, 0, 0, c, a, b) }

// IsFinite returns 1 if x is neither infinite nor NaN, else 0; its derivative is 0.
func IsFinite(x *Node) *Node { return pointwise(kernel.IsFinite, 0, 0, x) }

// Broadcast repeats x along its dimensions of size 1 to the given shape of the same rank. Its adjoint is a sum.
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
	return apply(&PointwiseOp{Code: kernel.Copy}, shape, x)
}

// Diff implements Kind.
func (p *PointwiseOp) Diff(in []*Node, y, g *Node, needed []bool) []*Node {
	out := make([]*Node, len(in))
	set := func(i int, grad func() *Node) {
		if needed[i] {
			out[i] = sumTo(grad(), in[i].Shape()...)
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
		set(0, func() *Node { return Mul(g, Heaviside(Sub(a, in[1]))) })
		set(1, func() *Node { return Mul(g, Affine(Heaviside(Sub(a, in[1])), -1, 1)) })
	case kernel.Min:
		set(0, func() *Node { return Mul(g, Affine(Heaviside(Sub(a, in[1])), -1, 1)) })
		set(1, func() *Node { return Mul(g, Heaviside(Sub(a, in[1]))) })
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
	case kernel.Where:
		set(1, func() *Node { return Where(a, g, Fill(g, 0, onesLike(g)...)) })
		set(2, func() *Node { return Where(a, Fill(g, 0, onesLike(g)...), g) })
	case kernel.Heaviside, kernel.IsFinite:
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
