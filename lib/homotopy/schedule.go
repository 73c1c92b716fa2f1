// Package homotopy is the path from noise to data that a potential flow follows, and the objectives that make a
// potential's gradient follow it (Variational Potential Flow, arXiv 2407.15238).
//
// A point of the path is x_t = mu(t)·x̄ + sigma(t)·eps for a data point x̄ and standard normal eps. Its density over
// all data goes from the prior N(0, w² I) at t = 0 to nearly the data at t = 1. A flow dx/dt = grad Phi(x, t)
// carries samples along it exactly if grad Phi is the mean velocity E[mu'·x̄ + sigma'·eps | x_t = x], which is
// itself a gradient, so one scalar function is enough.
//
// Equations are cited by these names, with q = N(0, w² I) the prior, x̄ a data point, eps standard normal noise,
// d the number of dimensions, v = mu'·x̄ + sigma'·eps, and a(t), b(t) the homotopy's exponents:
//
//	H1  likelihood p(x̄|x) = N(x̄; x, n² I)
//	H2  rho(x|x̄,t) proportional to q(x)^a·p(x̄|x)^b = N(x; mu·x̄, sigma² I), 1/sigma² = a/w² + b/n², mu = sigma²·b/n²
//	L1  innovation gamma = a'·|x|²/w² + b'·|x̄-x|²/n², gammabar its mean under rho
//	L4  energy: 1/2 E|grad Phi|² + 1/2 E[Phi·(gamma - gammabar)],
//	    where 1/2 (gamma - gammabar) = -(sigma'/sigma)(|eps|² - d) - (mu'/sigma) eps·x̄
//	L5  L4 = 1/2 E|grad Phi - v|² - 1/2 E|v|²; matching is its first term
//	L6  E[v|x] = (mu'/mu) x + sigma(sigma·mu'/mu - sigma')·grad log rhobar(x,t), a gradient
package homotopy

import (
	"fmt"
	"math"
)

// Point is the path at one time: x_t = Mu·x̄ + Sigma·eps and its derivatives in t.
type Point struct {
	Mu, Sigma   float64
	DMu, DSigma float64 // per unit of t
}

// Schedule is a path and how it is trained and sampled.
type Schedule interface {
	Name() string
	// At returns the path at time t.
	At(t float64) Point
	// Draw maps u, uniform in [0,1), to a training time.
	Draw(u float64) float64
	// Weight multiplies the loss at t, so that no time drowns the others.
	Weight(t float64) float64
	// Condition is what the network is given for t, of order one.
	Condition(t float64) float64
	// Span returns the limits of the integration variable s in which a sample is carried from prior to data.
	Span() (from, to float64)
	// Time returns the t that belongs to s, and dt/ds: the flow is dx/ds = dt/ds · grad Phi(x, t).
	Time(s float64) (t, rate float64)
	// Rate returns dt/ds at t. A network models Psi = dt/ds · Phi, the potential of the flow in s: its gradient is of
	// order one at all times, where that of Phi may span orders of magnitude.
	Rate(t float64) float64
}

// Names lists the schedules that Lookup knows.
func Names() []string { return []string{"linear", "vapo"} }

// UnknownError says that a name is not one of a list.
type UnknownError struct {
	What, Name string
	Known      []string
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("%s %q is not known: expected one of %v", e.What, e.Name, e.Known)
}

// Lookup returns the schedule of a name for the prior N(0, priorStd² I).
func Lookup(name string, priorStd float64) (Schedule, error) {
	if !(priorStd >= minPriorStd && priorStd <= maxPriorStd) {
		return nil, fmt.Errorf("prior standard deviation is %v, expected %v to %v", priorStd, minPriorStd, maxPriorStd)
	}
	switch name {
	case "linear":
		return linear{priorStd}, nil
	case "vapo":
		return newVAPO(priorStd, vapoLikelihoodStd), nil
	}
	return nil, &UnknownError{"schedule", name, Names()}
}

// Bounds on w: data are of order one, and squares of what lies outside leave float32.
const (
	minPriorStd = 1e-3
	maxPriorStd = 1e3
)

// edge keeps times off the ends of the path, where the velocity given x is not defined.
const edge = 1e-5

// linear is mu = t, sigma = w(1-t): the member a = 1/(1-t), b = n²t/(w²(1-t)²) of the homotopies H2. It has
// straight conditional paths, the choice of the released code of the follow-up (arXiv 2504.16262).
type linear struct{ w float64 }

func (linear) Name() string { return "linear" }

func (l linear) At(t float64) Point {
	t = min(t, 1-edge)
	return Point{Mu: t, Sigma: l.w * (1 - t), DMu: 1, DSigma: -l.w}
}

func (linear) Draw(u float64) float64         { return edge + (1-edge)*u }
func (linear) Weight(float64) float64         { return 1 }
func (linear) Rate(float64) float64           { return 1 }
func (linear) Condition(t float64) float64    { return t }
func (linear) Span() (from, to float64)       { return edge, 1 - edge }
func (linear) Time(s float64) (t, dt float64) { return s, 1 }

// vapoLikelihoodStd is n of H1, the standard deviation of p(x̄|x).
const vapoLikelihoodStd = 0.01

// vapo is the paper's own homotopy, a = 1 and b = t in H2:
//
//	mu = t/(r+t), sigma² = n²/(r+t), r = n²/w².
//
// mu reaches 1/2 already at t = r, so everything happens on a logarithmic scale: s = ln t is drawn uniformly and
// is the variable of integration. The network models Psi = t·Phi, whose gradient is the velocity per unit of s; its loss
// |grad Psi - t·v|² is that of Phi weighted by t², without which the velocities of 1e4 at t << r would drown all else.
type vapo struct{ w, n, r, first float64 }

func newVAPO(w, n float64) vapo {
	r := n * n / (w * w)
	return vapo{w: w, n: n, r: r, first: math.Log(1e-3 * r)}
}

func (vapo) Name() string { return "vapo" }

func (v vapo) At(t float64) Point {
	d := v.r + t
	return Point{
		Mu: t / d, Sigma: v.n / math.Sqrt(d),
		DMu: v.r / (d * d), DSigma: -0.5 * v.n / (d * math.Sqrt(d)),
	}
}

func (v vapo) Draw(u float64) float64       { return math.Exp(v.first * (1 - u)) }
func (vapo) Weight(float64) float64         { return 1 }
func (v vapo) Rate(t float64) float64       { return max(t, math.Exp(v.first)) }
func (v vapo) Condition(t float64) float64  { return max(0, 1-math.Log(t)/v.first) } // before the first time, as at it
func (v vapo) Span() (from, to float64)     { return v.first, 0 }
func (vapo) Time(s float64) (t, dt float64) { t = math.Exp(s); return t, t }
