package metrics

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"vapo/lib/linalg"
)

// Frechet is a Fréchet distance with what is needed to judge it.
type Frechet struct {
	// Value is |m1-m2|² + Tr(S1 + S2 - 2·sqrt(S1·S2)): the squared 2-Wasserstein
	// distance between two Gaussians, in squared units of the features.
	Value    float64
	MeanTerm float64 // |m1-m2|²
	CovTerm  float64 // the trace
	Dim      int     // of the features
	Route    string  // "cholesky" or "pivoted", how Tr sqrt(S1·S2) was computed
	// Warnings say what makes Value doubtful: N too small for the dimension.
	Warnings []string
}

// FrechetDistance compares the Gaussians with the moments of a and b, each of
// at least two vectors or published (Dowson and Landau 1982; as FID, Heusel et
// al. 2017, when the vectors are Inception features). Covariances are unbiased.
//
// Tr sqrt(S1·S2) needs no matrix square root. With any factor S1 = Uᵀ·U, the
// nonzero eigenvalues of S1·S2 are those of the symmetric U·S2·Uᵀ, so the trace
// is the sum of their square roots, and no eigenvectors are needed. S1 is here
// the covariance whose N bounds its rank lower, and U its Cholesky factor where
// it is positive definite, otherwise (N <= d among others) a pivoted one, [rank, d].
// Against a matrix square root the result agrees to about 1e-9 relative.
//
// Both routes perturb the covariances by their rounding at most, whatever their
// condition (Higham, "Accuracy and Stability of Numerical Algorithms", chapter
// 10). What has to be kept out is rounding where an eigenvalue should be zero,
// as the square root magnifies it: of a pivot (pivotFloor) and of an eigenvalue
// (roundingFloor).
//
// Note: SciPy's sqrtm of S1·S2, the usual way, takes several times as long,
// and needs an ε added to singular covariances that changes the value.
func FrechetDistance(a, b *Moments) (Frechet, error) {
	if a.d != b.d {
		return Frechet{}, fmt.Errorf("fréchet distance: features of dimension %d against %d", a.d, b.d)
	}
	if a.n < 2 && !a.published || b.n < 2 && !b.published {
		return Frechet{}, fmt.Errorf("fréchet distance: %d against %d vectors, each side needs at least 2", a.n, b.n)
	}
	f := Frechet{Dim: a.d}
	for i, v := range a.mean {
		f.MeanTerm += float64((v - b.mean[i]) * (v - b.mean[i]))
	}
	first, second := a, b
	if second.rankAtMost() < first.rankAtMost() {
		first, second = second, first
	}
	root, route, err := traceSqrtProduct(a.d, first.m2, second.m2, first.rankAtMost())
	if err != nil {
		return Frechet{}, fmt.Errorf("fréchet distance: %w", err)
	}
	// The compiler writes 2·root below as a sum, into which it would fuse this product.
	root = float64(root * (math.Sqrt(a.perM2()) * math.Sqrt(b.perM2())))
	f.Route = route
	// Never below zero in exact arithmetic.
	f.CovTerm = max(0, float64(a.perM2()*trace(a.m2, a.d))+float64(b.perM2()*trace(b.m2, b.d))-float64(2*root))
	f.Value = f.MeanTerm + f.CovTerm
	if math.IsNaN(f.Value) || math.IsInf(f.Value, 0) {
		return Frechet{}, errors.New("fréchet distance: the moments overflow float64")
	}
	for _, m := range []*Moments{a, b} {
		if w := smallN(m.n, m.d); !m.published && w != "" && (len(f.Warnings) == 0 || f.Warnings[0] != w) {
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

func trace(s []float64, d int) (sum float64) {
	for i := range d {
		sum += s[i*d+i]
	}
	return sum
}

// perM2 is what makes M2 the covariance.
func (m *Moments) perM2() float64 {
	if m.published {
		return 1
	}
	return 1 / float64(m.n-1)
}

// rankAtMost is what N tells of the rank of the covariance.
func (m *Moments) rankAtMost() int {
	if m.published {
		return m.d
	}
	return int(min(m.n-1, int64(m.d)))
}

// traceSqrtProduct returns Tr sqrt(s1·s2) for positive semidefinite s1 and s2, [d, d], s1 of at most the rank given.
func traceSqrtProduct(d int, s1, s2 []float64, rank int) (root float64, route string, err error) {
	f, err := factorOf(d, s1, rank == d)
	if err != nil {
		return 0, "", err
	}
	route = "cholesky"
	if f.pivots != nil {
		route, s2 = "pivoted", permuted(d, s2, f.pivots)
	}
	root, err = traceSqrtCongruence(f.rank, d, f.u, s2)
	giveMatrix(f.u)
	return root, route, err
}

// factor is u, [rank, d] with zeros below its diagonal, with uᵀ·u = s, or where
// there are pivots with (uᵀ·u)(i, j) = s(pivots[i], pivots[j]).
type factor struct {
	rank   int
	u      []float64
	pivots []int
}

// pivotFloor is the size, beside the largest variance, up to which a pivot of a
// Cholesky factor may be nothing but rounding (Higham, section 10.3).
func pivotFloor(d int) float64 { return float64(d) * 0x1p-52 }

// factorOf tries the plain factor first where s may be regular.
func factorOf(d int, s []float64, regular bool) (factor, error) {
	var floor float64
	for i := range d {
		floor = math.Max(floor, s[i*d+i]*pivotFloor(d))
	}
	u := takeMatrix(d * d)
	if regular {
		copyAll(u, s)
		if err := linalg.Cholesky(d, u, d); err == nil && leastPivot(d, u) > floor {
			return factor{rank: d, u: u}, nil
		} else if err != nil && !errors.Is(err, linalg.ErrNotPositiveDefinite) {
			return factor{}, err
		}
	}
	copyAll(u, s)
	pivots := make([]int, d)
	rank, err := linalg.PivotedCholesky(d, u, d, floor, pivots)
	return factor{rank: rank, u: u[:rank*d], pivots: pivots}, err
}

func leastPivot(d int, u []float64) float64 {
	least := math.Inf(1)
	for i := range d {
		least = math.Min(least, u[i*d+i]*u[i*d+i])
	}
	return least
}

// matrices keeps the memory of past distances until the collector wants it: to clear it and touch it anew would take a
// tenth of a distance's time.
var matrices sync.Pool

// takeMatrix returns n values of any content.
func takeMatrix(n int) []float64 {
	if m, ok := matrices.Get().(*[]float64); ok && cap(*m) >= n {
		return (*m)[:n]
	}
	return make([]float64, n)
}

func giveMatrix(m []float64) { matrices.Put(&m) }

// copyAll is copy on all cores: half of its time goes into first touching memory.
func copyAll(dst, src []float64) {
	const piece = 1 << 16
	parallel((len(src)+piece-1)/piece, func(i int) {
		copy(dst[i*piece:min((i+1)*piece, len(src))], src[i*piece:])
	})
}

// permuted returns s(pivots[i], pivots[j]).
func permuted(d int, s []float64, pivots []int) []float64 {
	out := make([]float64, d*d)
	parallel(d, func(i int) {
		row := s[pivots[i]*d : (pivots[i]+1)*d]
		for j, p := range pivots {
			out[i*d+j] = row[p]
		}
	})
	return out
}

// traceSqrtCongruence returns the sum of the square roots of the eigenvalues
// of u·s·uᵀ, those within rounding of zero taken as zero; u is [rank, d] with
// zeros below its diagonal, s symmetric.
func traceSqrtCongruence(rank, d int, u, s []float64) (float64, error) {
	if rank == 0 {
		return 0, nil
	}
	usu, us := takeMatrix(rank*rank), takeMatrix(rank*d)
	defer giveMatrix(usu)
	linalg.Congruence(rank, d, u, s, usu, us)
	giveMatrix(us)
	values := make([]float64, rank)
	if err := linalg.Eigenvalues(rank, usu, rank, values); err != nil {
		return 0, fmt.Errorf("product of covariances: %w", err)
	}
	floor := roundingFloor(values)
	var sum float64
	for _, v := range values { // ascending: small ones first
		if v > floor {
			sum += math.Sqrt(v)
		}
	}
	return sum, nil
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
