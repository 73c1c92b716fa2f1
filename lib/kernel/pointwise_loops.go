package kernel

func affine[T Float](dst, a []T, p, q T) {
	a = a[:len(dst)]
	if q == 0 {
		for i := range dst {
			dst[i] = p * a[i]
		}
		return
	}
	for i := range dst {
		dst[i] = T(p*a[i]) + q
	}
}

func add[T Float](dst, a, b []T) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

func sub[T Float](dst, a, b []T) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] - b[i]
	}
}

func mul[T Float](dst, a, b []T) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] * b[i]
	}
}

func div[T Float](dst, a, b []T) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] / b[i]
	}
}

func sigmoid[T Float](dst, a []T) {
	a = a[:len(dst)]
	for i := range dst {
		dst[i] = 1 / (1 + exp(-a[i]))
	}
}

// siluPoly holds a derivative of silu(x) = x·s(x), where s is the sigmoid, in the form x·P(s) + Q(s). Since s' =
// s(1-s),
//
//	(x·P + Q)' = x·P'·s(1-s) + P + Q'·s(1-s),
//
// so every derivative has this form, and the sigmoid is the only transcendental function in it.
type siluPoly struct {
	p, q []float64 // coefficients, constant first
}

func siluPolynomials(order int) siluPoly {
	f := siluPoly{p: []float64{0, 1}, q: []float64{0}}
	for range order {
		f = siluPoly{p: timesSlope(f.p), q: addPoly(f.p, timesSlope(f.q))}
	}
	return f
}

// timesSlope returns the coefficients of P'(s)·s(1-s), given those of P.
func timesSlope(p []float64) []float64 {
	out := make([]float64, len(p)+1)
	for k := 1; k < len(p); k++ {
		out[k] += float64(float64(k) * p[k])
		out[k+1] -= float64(float64(k) * p[k])
	}
	return out
}

func addPoly(a, b []float64) []float64 {
	out := make([]float64, max(len(a), len(b)))
	for i := range a {
		out[i] += a[i]
	}
	for i := range b {
		out[i] += b[i]
	}
	return out
}

func siluDeriv[T Float](dst, x, s []T, f *siluPoly) {
	x, s = x[:len(dst)], s[:len(dst)]
	switch len(f.p) {
	case 2: // silu
		for i := range dst {
			dst[i] = x[i] * s[i]
		}
	case 3: // silu' = s + x·s(1-s)
		for i := range dst {
			u := s[i]
			dst[i] = u + T(x[i]*T(u*(1-u)))
		}
	case 4: // silu'' = s(1-s)·(2 + x(1-2s))
		for i := range dst {
			u := s[i]
			dst[i] = T(u*(1-u)) * (2 + T(x[i]*(1-T(2*u))))
		}
	default:
		for i := range dst {
			dst[i] = T(x[i]*horner(f.p, s[i])) + horner(f.q, s[i])
		}
	}
}

func horner[T Float](p []float64, s T) T {
	var v T
	for k := len(p) - 1; k >= 0; k-- {
		v = T(v*s) + T(p[k])
	}
	return v
}
