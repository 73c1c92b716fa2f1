package homotopy

import (
	"math"

	"vapo/lib/portable"
)

// The noise rate of vp at the data and at the prior (Ho et al., arXiv 2006.11239, in the continuous time of Song et
// al.).
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
// The path does not quite start at the prior: mu(0) = exp(-5.025) = 0.0066, so it begins at 0.0066 x̄ + sigma(0) eps,
// while sampling begins at N(0, w² I). The divergence of the two is at most mu(0)²·E|x̄|²/(2w²) = 2.2e-5·E|x̄|²/w² nats
// (and 5e-10 a dimension): for 3072 pixels in [-1, 1] and w = 1 less than 0.07 nats, most of it in the mean colour.
//
// Near the data sigma is w·sqrt(0.1 q), so the velocity per unit of t grows as 1/sqrt(q) and is undefined at q = 0. In
// s = 1 - sqrt(q) it is 2 sqrt(q) times that, between 0.13 and 2.7 throughout (for x̄ and eps/w of size one). So s is
// the variable of integration, the network's condition, and uniform in training. It ends at q = 1e-5 (as in Song et
// al.'s training), where sigma = 1e-3 w, and begins just above 0 so that all times are positive.
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

// Variable keeps its last value up to t = 1, as the path does.
func (vp) Variable(t float64) float64 { return 1 - math.Sqrt(1-min(t, 1-edge)) }
