package metrics

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"vapo/lib/linalg"
)

// Frechet is a Fréchet distance, with data to judge its quality.
type Frechet struct {
	// Value is |m1-m2|² + Tr(S1 + S2 - 2·sqrt(S1·S2)): the squared 2-Wasserstein distance between two Gaussians, in
	// squared units of the features.
	Value    float64
	MeanTerm float64 // |m1-m2|²
	CovTerm  float64 // Tr(S1 + S2 - 2·sqrt(S1·S2))
	Route    string  // how Tr sqrt(S1·S2) was computed: "cholesky" or "pivoted"
	// Warnings explain why Value is doubtful: N is too small for the dimension.
	Warnings []string
}

// FrechetDistance returns the Fréchet distance between Gaussians with the moments of a and b (Dowson and Landau 1982).
// If the vectors are Inception features, it is the FID (Heusel et al. 2017). Covariances are unbiased. It is an error
// if the dimensions differ, or if a or b has fewer than two vectors and is not published.
//
// Tr sqrt(S1·S2) is computed without a matrix square root. For any factor U with S1 = Uᵀ·U, the nonzero eigenvalues of
// S1·S2 are those of the symmetric matrix U·S2·Uᵀ. The trace is the sum of their square roots, so no eigenvectors are
// needed. N bounds the rank of each covariance, and S1 is the one with the smaller bound. If S1 is positive definite, U
// is its Cholesky factor. Otherwise, for example if N <= d, U is a pivoted Cholesky factor, [rank, d]. The result
// agrees with a matrix square root to a relative error of about 1e-9.
//
// The errors of both routes correspond to changes of the covariances by about their rounding error, for any condition
// number (Higham, "Accuracy and Stability of Numerical Algorithms", chapter 10). But if an eigenvalue should be zero,
// the square root magnifies its rounding error. Therefore pivots below pivotFloor and eigenvalues below roundingFloor
// count as zero.
//
// Note: the usual method, SciPy's sqrtm of S1·S2, takes several times as long. It also requires adding an ε to singular
// covariances, which changes the value.
func FrechetDistance(a, b *Moments) (Frechet, error) {
	if a.d != b.d {
		return Frechet{}, fmt.Errorf("fréchet distance: features of dimensions %d and %d", a.d, b.d)
	}
	if a.n < 2 && !a.published || b.n < 2 && !b.published {
		return Frechet{}, fmt.Errorf("fréchet distance: %d and %d vectors; each side needs at least 2", a.n, b.n)
	}
	var f Frechet
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
	// Without the conversion, the compiler would turn 2·root below into a sum and fuse this product with that sum.
	root = float64(root * (math.Sqrt(a.perM2()) * math.Sqrt(b.perM2())))
	f.Route = route
	// In exact arithmetic, the trace is never negative.
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

// smallN returns a warning if n vectors of d components are too few, or "".
func smallN(n int64, d int) string {
	switch {
	case n <= int64(d):
		return fmt.Sprintf("%d images for %d features: the covariance is singular "+
			"and the distance far too large to compare with other N", n, d)
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

// perM2 is the factor by which m2 is multiplied to get the covariance.
func (m *Moments) perM2() float64 {
	if m.published {
		return 1
	}
	return 1 / float64(m.n-1)
}

// rankAtMost is the upper bound that N sets for the rank of the covariance.
func (m *Moments) rankAtMost() int {
	if m.published {
		return m.d
	}
	return int(min(m.n-1, int64(m.d)))
}

// traceSqrtProduct returns Tr sqrt(s1·s2) for positive semidefinite s1 and s2, [d, d]. rank is an upper bound for the
// rank of s1.
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

// factor is a Cholesky factor u, [rank, d], of s, with zeros below its diagonal: uᵀ·u = s. If there are pivots,
// (uᵀ·u)(i, j) = s(pivots[i], pivots[j]) instead.
type factor struct {
	rank   int
	u      []float64
	pivots []int
}

// pivotFloor is the size, relative to the largest variance, up to which a pivot of a Cholesky factor may be a mere
// rounding error (Higham, section 10.3).
func pivotFloor(d int) float64 { return float64(d) * 0x1p-52 }

// factorOf returns a Cholesky factor of s, [d, d]. If regular is true, s may have full rank, and the factor without
// pivots is tried first.
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

// matrices keeps the memory of earlier distances for reuse, until the garbage collector frees it. Allocating new memory
// for each distance would take a tenth of the time of the distance.
var matrices sync.Pool

// takeMatrix returns n values with arbitrary content.
func takeMatrix(n int) []float64 {
	if m, ok := matrices.Get().(*[]float64); ok && cap(*m) >= n {
		return (*m)[:n]
	}
	return make([]float64, n)
}

func giveMatrix(m []float64) { matrices.Put(&m) }

// copyAll copies src to dst on all cores. Half of the time of a copy on one core is spent on touching new memory.
func copyAll(dst, src []float64) {
	const piece = 1 << 16
	linalg.Parallel((len(src)+piece-1)/piece, func(i int) {
		copy(dst[i*piece:min((i+1)*piece, len(src))], src[i*piece:])
	})
}

// permuted returns the matrix with the elements s(pivots[i], pivots[j]).
func permuted(d int, s []float64, pivots []int) []float64 {
	out := make([]float64, d*d)
	linalg.Parallel(d, func(i int) {
		row := s[pivots[i]*d : (pivots[i]+1)*d]
		for j, p := range pivots {
			out[i*d+j] = row[p]
		}
	})
	return out
}

// traceSqrtCongruence returns the sum of the square roots of the eigenvalues of u·s·uᵀ. Eigenvalues within rounding of
// zero count as zero. u is [rank, d] with zeros below its diagonal, s is symmetric.
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
	for _, v := range values { // in ascending order
		if v > floor {
			sum += math.Sqrt(v)
		}
	}
	return sum, nil
}

// roundingFloor is the size up to which an eigenvalue of a symmetric matrix may be a mere rounding error: d·ε·max|λ|.
// Square roots magnify rounding errors, so such eigenvalues must not be counted.
func roundingFloor(values []float64) float64 {
	var largest float64
	for _, v := range values {
		largest = math.Max(largest, math.Abs(v))
	}
	return float64(len(values)) * 0x1p-52 * largest
}
