package device

import (
	"fmt"

	"github.com/gomlx/compute"
	"vapo/lib/graphop"
	"vapo/lib/kernel"
)

// pointwise lowers an elementwise operation whose operands already have the shape of the result.
func (l *lowering) pointwise(k *graphop.PointwiseOp, shape []int, in []compute.Value) compute.Value {
	a := in[0]
	switch k.Code {
	case kernel.Copy:
		return a
	case kernel.Affine:
		if k.P != 1 {
			a = must(l.Mul(a, l.full(k.P, shape)))
		}
		if k.Q != 0 {
			a = must(l.Add(a, l.full(k.Q, shape)))
		}
		return a
	case kernel.Add:
		return must(l.Add(a, in[1]))
	case kernel.Sub:
		return must(l.Sub(a, in[1]))
	case kernel.Mul:
		return must(l.Mul(a, in[1]))
	case kernel.Div:
		return must(l.Div(a, in[1]))
	case kernel.Max:
		return must(l.Max(a, in[1]))
	case kernel.Min:
		return must(l.Min(a, in[1]))
	case kernel.Exp:
		return must(l.Exp(a))
	case kernel.Log:
		return must(l.Log(a))
	case kernel.Sqrt:
		return must(l.Sqrt(a))
	case kernel.Sin:
		return must(l.Sin(a))
	case kernel.Cos:
		return must(l.Cos(a))
	case kernel.Sigmoid:
		return must(l.Logistic(a))
	case kernel.SiLU:
		return l.silu(int(k.P), a, in[1], shape)
	case kernel.Heaviside:
		return l.flag(must(l.GreaterThan(a, l.full(0, shape))), shape)
	case kernel.Where:
		return must(l.Where(must(l.NotEqual(a, l.full(0, shape))), in[1], in[2]))
	case kernel.IsFinite:
		return l.flag(must(l.IsFinite(a)), shape)
	}
	panic(refused{fmt.Errorf("elementwise operation %v cannot be lowered to a device", k.Code)})
}

// flag turns a truth value into 1 or 0.
func (l *lowering) flag(b compute.Value, shape []int) compute.Value {
	return must(l.Where(b, l.full(1, shape), l.full(0, shape)))
}

// silu returns the order-th derivative of x·sigmoid(x), given s = sigmoid(x): x·P(s) + Q(s), see kernel.SiLUDerivative.
// The first two derivatives have the form that the CPU kernels use, with fewer operations.
func (l *lowering) silu(order int, x, s compute.Value, shape []int) compute.Value {
	one := l.full(1, shape)
	switch order {
	case 0:
		return must(l.Mul(x, s))
	case 1: // s + x·s(1-s)
		slope := must(l.Mul(s, must(l.Sub(one, s))))
		return must(l.Add(s, must(l.Mul(x, slope))))
	case 2: // s(1-s)·(2 + x(1-2s))
		slope := must(l.Mul(s, must(l.Sub(one, s))))
		bend := must(l.Sub(one, must(l.Mul(l.full(2, shape), s))))
		return must(l.Mul(slope, must(l.Add(l.full(2, shape), must(l.Mul(x, bend))))))
	}
	p, q := kernel.SiLUDerivative(order)
	return must(l.Add(must(l.Mul(x, l.polynomial(p, s, shape))), l.polynomial(q, s, shape)))
}

// polynomial evaluates coefficients, constant first, by Horner's rule.
func (l *lowering) polynomial(c []float64, s compute.Value, shape []int) compute.Value {
	v := l.full(c[len(c)-1], shape)
	for k := len(c) - 2; k >= 0; k-- {
		v = must(l.Mul(v, s))
		if c[k] != 0 {
			v = must(l.Add(v, l.full(c[k], shape)))
		}
	}
	return v
}
