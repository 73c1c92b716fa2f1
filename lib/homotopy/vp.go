package homotopy

import (
	"math"

	"vapo/lib/graphop"
	"vapo/lib/portable"
)

// The noise rate beta of vp at the data and at the prior (Ho et al., arXiv 2006.11239, in the continuous time of Song
// et al.).
const (
	vpBetaData  = 0.1
	vpBetaPrior = 20
)

// vp is the variance-preserving diffusion (Song et al., arXiv 2011.13456, appendix C) run backwards, from noise to
// data. In the diffusion's own time q = 1-t, with beta(q) = 0.1 + 19.9 q and B = ∫beta from 0 to q = 0.1 q + 19.9 q²/2:
//
//	mu = exp(-B/2), sigma² = w²(1 - mu²), mu' = beta·mu/2, sigma' = -w²·mu·mu'/sigma,
//
// the member a = 1/(1+mu), b = n²mu/(w²(1-mu²)) of H2.
//
// The path starts only nearly at the prior: mu(0) = exp(-5.025) = 0.0066, so its first point is 0.0066 x̄ + sigma(0)
// eps, while sampling starts from N(0, w² I). The divergence between the two distributions is at most
// mu(0)²·E|x̄|²/(2w²) = 2.2e-5·E|x̄|²/w² nats plus 5e-10 nats per dimension. For 3072 pixels in [-1, 1] and w = 1 it is
// less than 0.07 nats.
//
// Near the data sigma is w·sqrt(0.1 q), so the velocity per unit of t grows as 1/sqrt(q) and is undefined at q = 0. The
// velocity per unit of s = 1 - sqrt(q) is smaller by the factor 2 sqrt(q): for x̄ and w·eps of size one it stays
// between 0.13 and 2.7. So s is the variable of integration and the network's condition, and training times are uniform
// in s. s starts just above 0, so that all times are positive, and ends at q = 1e-5 (as in Song et al.'s training),
// where sigma = 1e-3 w.
type vp struct {
	unweighted
	w float64
}

func (vp) Name() string { return "vp" }

func (v vp) At(t float64) Point {
	q := 1 - min(t, 1-edge)
	beta := vpBetaData + float64((vpBetaPrior-vpBetaData)*q)
	b := float64(vpBetaData*q) + float64((vpBetaPrior-vpBetaData)*q*q/2)
	mu := portable.Exp(-b / 2)
	rest := math.Sqrt(-portable.Expm1(-b)) // sqrt(1-mu²), without the cancellation near mu = 1
	dmu := beta * mu / 2
	return Point{Mu: mu, Sigma: v.w * rest, DMu: dmu, DSigma: -v.w * mu * dmu / rest}
}

func (v vp) Draw(u float64) float64 {
	from, to := v.Span()
	t, _ := v.Time(from + float64((to-from)*u))
	return t
}

func (v vp) Rate(t float64) float64       { return 2 * (1 - v.Variable(t)) }
func (v vp) Condition(t float64) float64  { return v.Variable(t) }
func (vp) Span() (from, to float64)       { return edge, 1 - math.Sqrt(edge) }
func (vp) Time(s float64) (t, dt float64) { r := 1 - s; return 1 - float64(r*r), 2 * r }

// Variable is constant from the last time of the path up to t = 1, like the path itself.
func (vp) Variable(t float64) float64 { return 1 - math.Sqrt(1-min(t, 1-edge)) }

// ConditionAt is the identity, because s itself is the condition.
func (vp) ConditionAt(s *graphop.Node) *graphop.Node { return s }
