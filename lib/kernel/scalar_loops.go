package kernel

// withScalar runs Add, Sub, Mul or Div with one operand that is a single value: a[0] if singleA is true, else b[0].
func withScalar[T Float](code Code, dst, a, b []T, singleA bool) {
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
}
