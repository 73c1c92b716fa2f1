package linalg

import (
	"errors"
	"math"
	"slices"
)

var errNoConvergence = errors.New("eigenvalues: the iteration did not converge")

// Eigenvalues writes the eigenvalues of the symmetric matrix a, [n, n], to values, [n], in ascending order. It reads
// only the upper triangle of a, whose values must be finite. The content of a is lost. The error of each eigenvalue is
// a small multiple of n·ε times the largest magnitude of an eigenvalue.
func Eigenvalues(n int, a []float64, stride int, values []float64) error {
	if len(values) < n {
		panic("linalg: fewer eigenvalues than rows")
	}
	if err := checkSymmetric("eigenvalues", n, a, stride); err != nil || n == 0 {
		return err
	}
	exponent := scaleToOne(n, a, stride)
	off := make([]float64, n)
	tridiagonal(n, a, stride, values, off)
	if !tridiagonalEigenvalues(values[:n], off[:n-1]) {
		return errNoConvergence
	}
	for i, v := range values[:n] {
		values[i] = math.Ldexp(v, exponent)
	}
	return nil
}

// scaleToOne multiplies the upper triangle of a by a power of two, so that its largest magnitude is about 1. This
// causes no rounding. Multiplying by 2^exponent undoes the scaling.
func scaleToOne(n int, a []float64, stride int) (exponent int) {
	largest := make([]float64, blocks(n, rowBlock))
	eachRow(n, func(block, i int) {
		for _, v := range a[i*stride+i : i*stride+n] {
			largest[block] = max(largest[block], math.Abs(v))
		}
	})
	_, exponent = math.Frexp(slices.Max(largest))
	exponent = max(exponent, -1021) // the inverse of a smaller power of two would be infinite
	scale := math.Ldexp(1, -exponent)
	eachRow(n, func(_, i int) {
		for j := i; j < n; j++ {
			a[i*stride+j] *= scale
		}
	})
	return exponent
}

const (
	// sweepsEach bounds the average number of sweeps per eigenvalue, as in LAPACK.
	sweepsEach = 30
	roundOff   = 0x1p-53
	// negligible is the size up to which the square of an off-diagonal value counts as zero, in a matrix whose largest
	// value is about 1.
	negligible = 0x1p-240
)

// tridiagonalEigenvalues replaces d, the diagonal of a symmetric tridiagonal matrix, by the eigenvalues in ascending
// order. The content of e, the off-diagonal, is lost. The largest value of the matrix must be about 1. The method is
// the square-root-free QL iteration of Pal, Walker and Kahan, as in LAPACK's dsterf (Parlett, "The Symmetric Eigenvalue
// Problem", 8.15). tridiagonalEigenvalues returns false if the iteration does not converge.
func tridiagonalEigenvalues(d, e []float64) bool {
	for i, v := range e {
		e[i] = v * v
	}
	sweeps := sweepsEach * len(d)
	for from := 0; from < len(d); {
		to := from // the last row of a decoupled block
		for to < len(e) && !splits(d, e, to) {
			to++
		}
		block, off := d[from:to+1], e[from:to]
		// The iteration finds eigenvalues from row 0 on. The smaller values are moved to this end, so that it finds small
		// eigenvalues first.
		if math.Abs(block[len(block)-1]) < math.Abs(block[0]) {
			slices.Reverse(block)
			slices.Reverse(off)
		}
		for len(block) > 0 {
			m := 0
			for m < len(off) && !splits(block, off, m) {
				m++
			}
			if m < len(off) {
				off[m] = 0
			}
			switch {
			case m == 0:
				block, off = block[1:], off[min(1, len(off)):]
			case m == 1:
				block[0], block[1] = pair(block[0], off[0], block[1])
				block, off = block[2:], off[min(2, len(off)):]
			case sweeps == 0:
				return false
			default:
				sweeps--
				sweep(block[:m+1], off[:m])
			}
		}
		from = to + 1
	}
	slices.Sort(d)
	return true
}

// splits reports whether the matrix splits between rows i and i+1, because e[i] is negligible. e holds squares.
func splits(d, e []float64, i int) bool {
	return e[i] <= math.FMA(roundOff*roundOff, math.Abs(float64(d[i]*d[i+1])), negligible)
}

// pair returns the eigenvalues of the symmetric 2 x 2 matrix with the diagonal a, b and the squared off-diagonal e.
func pair(a, e, b float64) (smaller, larger float64) {
	sum, diff := a+b, a-b
	root := math.Sqrt(math.FMA(diff, diff, 4*e))
	if sum < 0 {
		smaller = 0.5 * (sum - root)
		return smaller, second(a, e, b, smaller)
	}
	larger = 0.5 * (sum + root)
	return second(a, e, b, larger), larger
}

// second returns the eigenvalue of smaller magnitude: the determinant divided by first, the eigenvalue of larger
// magnitude. first is zero only if the matrix is zero.
func second(a, e, b, first float64) float64 {
	if first == 0 {
		return 0
	}
	if math.Abs(a) < math.Abs(b) {
		a, b = b, a
	}
	return float64(a/first*b) - e/first
}

// sweep performs one QL step with Wilkinson's shift, from the last row to the first. e holds squares.
func sweep(d, e []float64) {
	last := len(e)
	root := math.Sqrt(e[0])
	ratio := (d[1] - d[0]) / (2 * root)
	hypot := math.Sqrt(math.FMA(ratio, ratio, 1)) // if this overflows, the shift is d[0]
	shift := d[0] - root/(ratio+math.Copysign(hypot, ratio))
	c, s := 1.0, 0.0
	gamma := d[last] - shift
	p := gamma * gamma
	for i := last - 1; i >= 0; i-- {
		square := e[i]
		r := p + square
		if i != last-1 {
			e[i+1] = s * r
		}
		before, old := c, gamma
		c, s = p/r, square/r
		alpha := d[i]
		gamma = float64(c*(alpha-shift)) - float64(s*old)
		d[i+1] = old + (alpha - gamma)
		if c != 0 {
			p = float64(gamma*gamma) / c
		} else {
			p = before * square
		}
	}
	e[0] = s * p
	d[0] = shift + gamma
}
