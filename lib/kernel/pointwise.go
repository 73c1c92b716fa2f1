package kernel

import (
	"fmt"
	"math"

	"vapo/lib/portable"
)

// Code identifies a pointwise operation.
type Code uint8

// The pointwise operations. Operands are a, b and c; P and Q are constants of the instruction.
const (
	Copy      Code = iota // a
	Affine                // P·a + Q
	Add                   // a + b
	Sub                   // a - b
	Mul                   // a · b
	Div                   // a / b
	Max                   // the larger of a and b; NaN if a or b is NaN
	Min                   // the smaller of a and b; NaN if a or b is NaN
	Exp                   // e^a
	Log                   // ln a
	Sqrt                  // square root of a
	Sin                   // sin a, a in radians
	Cos                   // cos a, a in radians
	Sigmoid               // 1/(1+e^-a)
	SiLU                  // the P-th derivative of x·sigmoid(x) at x = a; b must be sigmoid(a)
	Heaviside             // 1 if a > 0, else 0
	Where                 // b if a is not 0, else c
	IsFinite              // 1 if a is neither infinite nor NaN, else 0
	codeCount
)

var codeNames = [codeCount]string{
	"copy", "affine", "add", "sub", "mul", "div", "max", "min", "exp", "log", "sqrt", "sin", "cos", "sigmoid", "silu",
	"step", "where", "isfinite",
}

func (c Code) String() string {
	if c >= codeCount {
		return fmt.Sprintf("code(%d)", uint8(c))
	}
	return codeNames[c]
}

// Arity is the number of operands that c reads.
func (c Code) Arity() int {
	switch c {
	case Add, Sub, Mul, Div, Max, Min, SiLU:
		return 2
	case Where:
		return 3
	}
	return 1
}

// operate runs an instruction with the loops in Go. All operands, even those that the instruction does not read, have
// at least the length of dst.
func operate[T Float](in *Instr, poly *siluPoly, dst, a, b, c []T) {
	a, b, c = a[:len(dst)], b[:len(dst)], c[:len(dst)]
	switch in.Code {
	case Copy:
		copy(dst, a)
	case Affine:
		affine(dst, a, T(in.P), T(in.Q))
	case Add:
		add(dst, a, b)
	case Sub:
		sub(dst, a, b)
	case Mul:
		mul(dst, a, b)
	case Div:
		div(dst, a, b)
	case SiLU:
		siluDeriv(dst, a, b, poly)
	case Sigmoid:
		sigmoid(dst, a)
	case Max:
		for i := range dst {
			dst[i] = max(a[i], b[i])
		}
	case Min:
		for i := range dst {
			dst[i] = min(a[i], b[i])
		}
	case Exp:
		for i := range dst {
			dst[i] = exp(a[i])
		}
	case Log:
		for i := range dst {
			dst[i] = T(portable.Log(float64(a[i])))
		}
	case Sqrt:
		for i := range dst {
			dst[i] = T(math.Sqrt(float64(a[i])))
		}
	case Sin:
		for i := range dst {
			dst[i] = T(portable.Sin(float64(a[i])))
		}
	case Cos:
		for i := range dst {
			dst[i] = T(portable.Cos(float64(a[i])))
		}
	case Heaviside:
		for i := range dst {
			if a[i] > 0 {
				dst[i] = 1
			} else {
				dst[i] = 0
			}
		}
	case Where:
		for i := range dst {
			if a[i] != 0 {
				dst[i] = b[i]
			} else {
				dst[i] = c[i]
			}
		}
	case IsFinite:
		for i := range dst {
			if a[i]-a[i] == 0 {
				dst[i] = 1
			} else {
				dst[i] = 0
			}
		}
	}
}
