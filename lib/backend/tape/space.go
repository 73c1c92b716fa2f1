package tape

import (
	"slices"

	"gorgonia.org/tensor"
)

// space describes the elements that a group computes, in row-major order. Its dimensions are fine enough to express the
// shapes of all members: members of shapes [N, C, H·W] and [N, G, C/G, H, W] have the space [N, G, C/G, H, W].
type space []int

func (s space) size() int { return tensor.Shape(s).TotalSize() }

// refine returns the coarsest space that refines the dimensions of both s and shape, if there is one.
func (s space) refine(shape tensor.Shape) (space, bool) {
	if s.size() != shape.TotalSize() {
		return nil, false
	}
	var out space
	i, j := len(s)-1, len(shape)-1
	a, b := 1, 1 // the remaining factors of the current dimensions
	for {
		for ; a == 1 && i >= 0; i-- {
			a = s[i]
		}
		for ; b == 1 && j >= 0; j-- {
			b = shape[j]
		}
		switch {
		case a == 1 && b == 1:
			slices.Reverse(out)
			if len(out) == 0 {
				out = space{1}
			}
			return out, true
		case b%a == 0:
			out, b, a = append(out, a), b/a, 1
		case a%b == 0:
			out, a, b = append(out, b), a/b, 1
		default:
			return nil, false
		}
	}
}

// strides returns the strides, in elements, of a row-major operand along each dimension of s, with 0 for a dimension
// along which it is broadcast. frame is the operand's shape with broadcast axes at full size; s refines frame.
func (s space) strides(shape, frame tensor.Shape) []int {
	out := make([]int, len(s))
	stride := 1
	k := len(s) - 1
	for d := len(frame) - 1; d >= 0; d-- {
		for n := frame[d]; n > 1; k-- {
			if shape[d] != 1 {
				out[k] = stride
				stride *= s[k]
			}
			n /= s[k]
		}
	}
	return out
}

// rows returns the number of leading dimensions of s that index rows, if a row has the given length in elements.
func (s space) rows(length int) int {
	n := 1
	for d := len(s) - 1; d >= 0; d-- {
		if n >= length {
			return d + 1
		}
		n *= s[d]
	}
	return 0
}

// everyRow reports whether kernel.Fused can compute a node of the given shape in rows of row elements. Every row must
// have its own values, and the node may be broadcast only along the last dimensions of a row.
func (s space) everyRow(shape, frame tensor.Shape, row int) bool {
	if row == 0 {
		return shape.TotalSize() == s.size()
	}
	strides := s.strides(shape, frame)
	kept := len(strides)
	for kept > 0 && strides[kept-1] == 0 {
		kept--
	}
	return kept >= s.rows(row) && !slices.Contains(strides[:kept], 0)
}
