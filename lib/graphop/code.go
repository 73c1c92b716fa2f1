package graphop

import "fmt"

// Code identifies a pointwise function.
type Code uint8

// The pointwise functions of operands a, b and c, with the constants P and Q of a PointwiseOp.
const (
	CodeCopy      Code = iota // a
	CodeAffine                // P·a + Q
	CodeAdd                   // a + b
	CodeSub                   // a - b
	CodeMul                   // a · b
	CodeDiv                   // a / b
	CodeMax                   // the larger of a and b
	CodeMin                   // the smaller of a and b
	CodeExp                   // e^a
	CodeLog                   // ln a
	CodeSqrt                  // square root of a
	CodeSin                   // sin a, a in radians
	CodeCos                   // cos a, a in radians
	CodeSigmoid               // 1/(1+e^-a)
	CodeSiLU                  // the P-th derivative of x·sigmoid(x) at a, given b = sigmoid(a)
	CodeHeaviside             // 1 if a > 0, else 0
	CodeWhere                 // b if a is not 0, else c
	CodeIsFinite              // 1 if a is neither infinite nor NaN, else 0
	CodeCount                 // the number of functions
)

var codeNames = [CodeCount]string{
	"copy", "affine", "add", "sub", "mul", "div", "max", "min", "exp", "log", "sqrt", "sin", "cos", "sigmoid", "silu",
	"step", "where", "isfinite",
}

func (c Code) String() string {
	if c >= CodeCount {
		return fmt.Sprintf("code(%d)", uint8(c))
	}
	return codeNames[c]
}
