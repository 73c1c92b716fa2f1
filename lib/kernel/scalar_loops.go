package kernel

// withScalar runs a binary instruction of which one operand is a single value, and reports whether it could: a value
// that is the same over a block need not be written out for every element.
func withScalar[T Float](code Code, dst, a, b []T, singleA, singleB bool) bool {
	if singleA == singleB || code != Add && code != Sub && code != Mul && code != Div {
		return false
	}
	v, s := a, b
	if singleA {
		v, s = b, a
	}
	x := s[0]
	v = v[:len(dst)]
	switch {
	case code == Add:
		for i := range dst {
			dst[i] = v[i] + x
		}
	case code == Mul:
		for i := range dst {
			dst[i] = v[i] * x
		}
	case code == Sub && singleA:
		for i := range dst {
			dst[i] = x - v[i]
		}
	case code == Sub:
		for i := range dst {
			dst[i] = v[i] - x
		}
	case code == Div && singleA:
		for i := range dst {
			dst[i] = x / v[i]
		}
	default:
		for i := range dst {
			dst[i] = v[i] / x
		}
	}
	return true
}
