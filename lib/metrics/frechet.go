package metrics

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Frechet is a Fréchet distance with what is needed to judge it.
type Frechet struct {
	// Value is |m1-m2|² + Tr(S1 + S2 - 2·sqrt(S1·S2)): the squared 2-Wasserstein
	// distance between two Gaussians, in squared units of the features.
	Value    float64
	MeanTerm float64 // |m1-m2|²
	CovTerm  float64 // the trace
	Dim      int     // of the features
	Route    string  // "cholesky" or "eigen", how Tr sqrt(S1·S2) was computed
	// Warnings say what makes Value doubtful: N too small for the dimension.
	Warnings []string
}

// maxCondition is the condition number up to which a covariance counts as
// positive definite; beyond it its smallest eigenvalues are rounding.
const maxCondition = 1e13

// FrechetDistance compares the Gaussians with the moments of a and b, each of
// at least two vectors (Dowson and Landau 1982; as FID, Heusel et al. 2017,
// when the vectors are Inception features). Covariances are unbiased.
//
// Tr sqrt(S1·S2) needs no matrix square root. With any factor S1 = R·Rᵀ, the
// nonzero eigenvalues of S1·S2 are those of the symmetric Rᵀ·S2·R, so the
// trace is the sum of their square roots, clamped at 0. R is the Cholesky factor
// where S1 or S2 is positive definite, which needs eigenvalues only; otherwise
// (N <= d among others) R = V·sqrt(Λ) over the eigenvalues of S1 above rounding.
// Against a matrix square root the result agrees to about 1e-9 relative.
//
// Note: SciPy's sqrtm of S1·S2, the usual way, is about ten times slower at
// d=1024, and needs an ε added to singular covariances that changes the value.
func FrechetDistance(a, b *Moments) (Frechet, error) {
	if a.d != b.d {
		return Frechet{}, fmt.Errorf("fréchet distance: features of dimension %d against %d", a.d, b.d)
	}
	if a.n < 2 || b.n < 2 {
		return Frechet{}, fmt.Errorf("fréchet distance: %d against %d vectors, each side needs at least 2", a.n, b.n)
	}
	f := Frechet{Dim: a.d}
	for i, v := range a.mean {
		f.MeanTerm += (v - b.mean[i]) * (v - b.mean[i])
	}
	s1, s2 := a.Cov(), b.Cov()
	root, route, err := traceSqrtProduct(s1, s2)
	if err != nil {
		return Frechet{}, fmt.Errorf("fréchet distance: %w", err)
	}
	f.Route = route
	// Never below zero in exact arithmetic.
	f.CovTerm = math.Max(0, mat.Trace(s1)+mat.Trace(s2)-2*root)
	f.Value = f.MeanTerm + f.CovTerm
	if math.IsNaN(f.Value) || math.IsInf(f.Value, 0) {
		return Frechet{}, errors.New("fréchet distance: the moments overflow float64")
	}
	for _, m := range []*Moments{a, b} {
		if w := smallN(m.n, m.d); w != "" && (len(f.Warnings) == 0 || f.Warnings[0] != w) {
			f.Warnings = append(f.Warnings, w)
		}
	}
	return f, nil
}

// smallN is the warning for n vectors of d components, or "".
func smallN(n int64, d int) string {
	switch {
	case n <= int64(d):
		return fmt.Sprintf("%d images for %d features: the covariance is singular and the distance far too large to compare with other N", n, d)
	case n < 2*int64(d):
		return fmt.Sprintf("%d images for %d features: the distance is biased upward, compare only at this N", n, d)
	}
	return ""
}

// traceSqrtProduct returns Tr sqrt(s1·s2) for positive semidefinite s1, s2.
func traceSqrtProduct(s1, s2 *mat.SymDense) (trace float64, route string, err error) {
	for _, pair := range [][2]*mat.SymDense{{s1, s2}, {s2, s1}} {
		var chol mat.Cholesky
		if chol.Factorize(pair[0]) && chol.Cond() < maxCondition {
			var l mat.TriDense
			chol.LTo(&l)
			trace, err = traceSqrtCongruence(&l, pair[1])
			return trace, "cholesky", err
		}
	}
	r, err := semidefiniteFactor(s1)
	if err != nil {
		return 0, "", err
	}
	if r == nil { // s1 = 0
		return 0, "eigen", nil
	}
	trace, err = traceSqrtCongruence(r, s2)
	return trace, "eigen", err
}

// traceSqrtCongruence returns the sum of the square roots of the eigenvalues
// of rᵀ·s·r, those within rounding of zero taken as zero.
func traceSqrtCongruence(r mat.Matrix, s *mat.SymDense) (float64, error) {
	_, k := r.Dims()
	var sr, rsr mat.Dense
	sr.Mul(s, r)
	rsr.Mul(r.T(), &sr)
	sym := mat.NewSymDense(k, nil)
	for i := range k {
		for j := i; j < k; j++ {
			sym.SetSym(i, j, (rsr.At(i, j)+rsr.At(j, i))/2)
		}
	}
	var eig mat.EigenSym
	if !eig.Factorize(sym, false) {
		return 0, errors.New("eigenvalues of the product of covariances did not converge")
	}
	values := eig.Values(nil)
	floor := roundingFloor(values)
	var sum float64
	for _, v := range values { // ascending: small ones first
		if v > floor {
			sum += math.Sqrt(v)
		}
	}
	return sum, nil
}

// semidefiniteFactor returns r, [d, rank], with r·rᵀ = s; nil if s is zero.
func semidefiniteFactor(s *mat.SymDense) (*mat.Dense, error) {
	var eig mat.EigenSym
	if !eig.Factorize(s, true) {
		return nil, errors.New("eigenvectors of the covariance did not converge")
	}
	values := eig.Values(nil)
	floor := roundingFloor(values)
	var keep []int
	for i, v := range values {
		if v > floor {
			keep = append(keep, i)
		}
	}
	if len(keep) == 0 {
		return nil, nil
	}
	var vectors mat.Dense
	eig.VectorsTo(&vectors)
	d := len(values)
	r := mat.NewDense(d, len(keep), nil)
	for c, i := range keep {
		root := math.Sqrt(values[i])
		for row := range d {
			r.Set(row, c, vectors.At(row, i)*root)
		}
	}
	return r, nil
}

// roundingFloor is the size below which eigenvalues of a symmetric matrix with
// these eigenvalues are rounding: d·ε·max|λ|. Square roots magnify rounding,
// so what is not there must not be counted.
func roundingFloor(values []float64) float64 {
	var largest float64
	for _, v := range values {
		largest = math.Max(largest, math.Abs(v))
	}
	return float64(len(values)) * 0x1p-52 * largest
}
