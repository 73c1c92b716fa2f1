package tape

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"vapo/lib/graphop"
	"vapo/lib/kernel"
)

// function computes one operation on flat row-major slices.
type function[T kernel.Float] = func(dst []T, src [][]T)

// functionOf lowers an operation to the kernel that computes it.
func functionOf[T kernel.Float](op *graphop.Operation) (function[T], error) {
	switch k := op.Kind.(type) {
	case *graphop.ConstOp:
		return func(dst []T, _ [][]T) { fillConstant(k, dst) }, nil
	case *graphop.PointwiseOp:
		return pointwise[T](k, op), nil
	case *graphop.SumOp:
		outer, axis, inner := around(op.In[0], k.Axes[0], k.Axes[len(k.Axes)-1])
		return unaryFunction(kernel.NewSum[T](outer, axis, inner).Run), nil
	case *graphop.RowMaxOp:
		return func(dst []T, src [][]T) { kernel.RowMax(dst, src[0], op.In[0][1]) }, nil
	case *graphop.SoftmaxOp:
		n := op.Out[len(op.Out)-1]
		return unaryFunction(kernel.NewSoftmax[T](op.Out.TotalSize()/n, n).Run), nil
	case *graphop.PhiloxOp:
		return unaryFunction(kernel.NewPhilox[T](op.Out.TotalSize(), k.StreamID()).Run), nil
	case *graphop.MatMulOp:
		batch, m, n, inner := k.Dims(op.In[0], op.In[1])
		return binaryFunction(kernel.NewMatMul[T](k.TransA, k.TransB, batch, m, n, inner).Run), nil
	case *graphop.ConvOp:
		return convolution[T](k), nil
	// Operations that only move elements.
	case *graphop.ReshapeOp, *graphop.BoundaryOp:
		return func(dst []T, src [][]T) { copy(dst, src[0]) }, nil
	case *graphop.TransposeOp:
		return func(dst []T, src [][]T) { kernel.Transpose(dst, src[0], op.In[0], k.Perm) }, nil
	case *graphop.SliceOp:
		outer, from, inner := around(op.In[0], k.Axis, k.Axis)
		n := k.To - k.From
		return func(dst []T, src [][]T) { kernel.Segments(dst, n, 0, src[0], from, k.From, n, outer, inner) }, nil
	case *graphop.PadOp:
		outer, n, inner := around(op.In[0], k.Axis, k.Axis)
		to := op.Out[k.Axis]
		return func(dst []T, src [][]T) {
			clear(dst)
			kernel.Segments(dst, to, k.Before, src[0], n, 0, n, outer, inner)
		}, nil
	case *graphop.ConcatOp:
		outer, to, inner := around(op.Out, k.Axis, k.Axis)
		return func(dst []T, src [][]T) {
			at := 0
			for i, s := range src {
				n := op.In[i][k.Axis]
				kernel.Segments(dst, to, at, s, n, 0, n, outer, inner)
				at += n
			}
		}, nil
	// Operations on windows or tiles of images.
	case *graphop.AvgPoolOp:
		s := op.In[0]
		return unaryFunction(kernel.NewAvgPool[T](s[0]*s[1], s[2], s[3], k.K).Run), nil
	case *graphop.UpsampleOp:
		s := op.In[0]
		return unaryFunction(kernel.NewUpsample[T](s[0]*s[1], s[2], s[3], k.K).Run), nil
	case *graphop.WindowSumOp:
		return unaryFunction(kernel.NewWindowSum[T](windows(k.Window, op.In[0])).Run), nil
	case *graphop.WindowSumGradOp:
		return unaryFunction(kernel.NewWindowSumGrad[T](windows(k.Window, op.Out)).Run), nil
	case *graphop.SelectMaxOp:
		return binaryFunction(kernel.NewSelectMax[T](windows(k.Window, op.In[0])).Run), nil
	case *graphop.ScatterMaxOp:
		return binaryFunction(kernel.NewScatterMax[T](windows(k.Window, op.Out)).Run), nil
	}
	return nil, fmt.Errorf("compile: operation %v cannot be lowered to the CPU", op)
}

func unaryFunction[T kernel.Float](run func(dst, a []T)) function[T] {
	return func(dst []T, src [][]T) { run(dst, src[0]) }
}

func binaryFunction[T kernel.Float](run func(dst, a, b []T)) function[T] {
	return func(dst []T, src [][]T) { run(dst, src[0], src[1]) }
}

func fillConstant[T kernel.Float](c *graphop.ConstOp, dst []T) {
	for i := range dst {
		if c.Values != nil {
			dst[i] = T(c.Values[i])
		} else {
			dst[i] = T(c.Value)
		}
	}
}

func convolution[T kernel.Float](c *graphop.ConvOp) function[T] {
	switch c.Role {
	case graphop.InputGrad:
		return binaryFunction(kernel.NewConvInputGrad[T](c.Shape).Run)
	case graphop.FilterGrad:
		return binaryFunction(kernel.NewConvFilterGrad[T](c.Shape).Run)
	}
	return binaryFunction(kernel.NewConv[T](c.Shape).Run)
}

// windows returns the kernels' description of windows over images of shape s.
func windows(w graphop.Window2D, s tensor.Shape) kernel.WindowShape {
	return kernel.WindowShape{
		Planes: s[0] * s[1], H: s[2], W: s[3], KH: w.KH, KW: w.KW,
		StrideH: w.StrideH, StrideW: w.StrideW, PadH: w.PadH, PadW: w.PadW,
	}
}

// around multiplies the dimensions of a shape in three groups: outer is the product over the axes before first, axis
// that over the axes first to last, and inner that over the axes after last.
func around(s []int, first, last int) (outer, axis, inner int) {
	outer, axis, inner = 1, 1, 1
	for d, n := range s {
		switch {
		case d < first:
			outer *= n
		case d <= last:
			axis *= n
		default:
			inner *= n
		}
	}
	return outer, axis, inner
}

// instruction returns the kernel's instruction for a pointwise operation, without registers.
func instruction(p *graphop.PointwiseOp) kernel.Instr {
	return kernel.Instr{Code: p.Code, P: p.P, Q: p.Q}
}

// pointwise lowers a single pointwise operation for evaluate. Compiled programs fuse pointwise operations instead
// (fuse.go).
func pointwise[T kernel.Float](p *graphop.PointwiseOp, op *graphop.Operation) function[T] {
	n := len(op.In)
	frame, _ := space(op.Out).refine(op.Out)
	in := instruction(p)
	in.Dst = n
	prog := kernel.Program{Dims: frame}
	for i, s := range op.In {
		prog.Operands = append(prog.Operands, kernel.Operand{Slot: i, Strides: frame.strides(s, op.Out)})
		in.Args[i] = i
	}
	prog.Operands = append(prog.Operands, kernel.Operand{Slot: n, Strides: frame.strides(op.Out, op.Out)})
	prog.Instrs = []kernel.Instr{in}
	k := kernel.NewFused[T](prog)
	slots := make([][]T, n+1)
	return func(dst []T, src [][]T) {
		slots[copy(slots, src)] = dst
		k.Run(slots)
	}
}

func init() { graphop.SetEvaluator(evaluate) }

// evaluate computes a single operation. The reference interpreter and Gorgonia's own machines use it.
func evaluate(op *graphop.Operation, in []gorgonia.Value) (gorgonia.Value, error) {
	dst := tensor.New(tensor.WithShape(op.Out...), tensor.Of(op.Dtype))
	if op.Dtype == tensor.Float64 {
		return dst, evaluateTo(dst.Data().([]float64), op, in)
	}
	return dst, evaluateTo(dst.Data().([]float32), op, in)
}

func evaluateTo[T kernel.Float](dst []T, op *graphop.Operation, in []gorgonia.Value) error {
	f, err := functionOf[T](op)
	if err != nil {
		return err
	}
	src := make([][]T, len(in))
	for i, v := range in {
		data, ok := v.Data().([]T)
		if !ok || len(data) != op.In[i].TotalSize() {
			return fmt.Errorf("operation %s: input %d is a %T of %d elements, expected %v of shape %v",
				op, i, v.Data(), v.Shape().TotalSize(), op.Dtype, op.In[i])
		}
		src[i] = data
	}
	f(dst, src)
	return nil
}
