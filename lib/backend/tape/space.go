package tape

import (
	"slices"

	"gorgonia.org/tensor"
)

// space is the set of elements that a group computes, in row-major order, cut into dimensions fine enough for the
// shapes of all members: [N, C, H·W] and [N, G, C/G, H, W] are one space, [N, G, C/G, H, W].
type space []int

func (s space) size() int { return tensor.Shape(s).TotalSize() }

// refine returns the coarsest space whose dimensions divide those of s and of shape, if there is one.
func (s space) refine(shape tensor.Shape) (space, bool) {
	if s.size() != shape.TotalSize() {
		return nil, false
	}
	var out space
	i, j := len(s)-1, len(shape)-1
	a, b := 1, 1 // what is left of the current dimension of each
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

// steps returns, for a row-major operand of the given shape, how many of its elements lie between neighbours along each
// dimension of s: 0 where it is broadcast. frame is the operand's shape with nothing broadcast; s refines it.
func (s space) steps(shape, frame tensor.Shape) []int {
	out := make([]int, len(s))
	step := 1
	k := len(s) - 1
	for d := len(frame) - 1; d >= 0; d-- {
		for n := frame[d]; n > 1; k-- {
			if shape[d] != 1 {
				out[k] = step
				step *= s[k]
			}
			n /= s[k]
		}
	}
	return out
}

// rows returns the number of leading dimensions that number the rows, for rows of the given length.
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

// everyRow reports whether an operand has values of its own in every row, which differ along the leading dimensions of
// the row only: those are what kernel.Fused can compute.
func (s space) everyRow(shape, frame tensor.Shape, row int) bool {
	if row == 0 {
		return shape.TotalSize() == s.size()
	}
	steps := s.steps(shape, frame)
	kept := len(steps)
	for kept > 0 && steps[kept-1] == 0 {
		kept--
	}
	return kept >= s.rows(row) && !slices.Contains(steps[:kept], 0)
}
