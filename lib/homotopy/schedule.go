// Package homotopy is the path from noise to data that a potential flow follows, and the objectives that make a
// potential's gradient follow it (Variational Potential Flow, arXiv 2407.15238).
//
// A point of the path is x_t = mu(t)·x̄ + sigma(t)·eps for a data point x̄ and standard normal eps. Its density over
// all data goes from the prior N(0, w² I) at t = 0 to nearly the data at t = 1. A flow dx/dt = grad Phi(x, t)
// carries samples along it exactly if grad Phi is the mean velocity E[mu'·x̄ + sigma'·eps | x_t = x], which is
// itself a gradient, so one scalar function is enough.
//
// The schedules, each in a file of its own with what it is good for:
//
//	linear  mu = t                sigma = w(1-t)
//	vapo    mu = t/(n²/w² + t)    sigma² = n²/(n²/w² + t); goes on beyond t = 1
//	cosine  mu = sin(pi t/2)      sigma = w cos(pi t/2)
//	vp      mu = exp(-1/2 integral of beta from 0 to 1-t), sigma² = w²(1-mu²); mu(0) = 0.0066, so only nearly the prior
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
//	L7  hybrid, the released code's loss on linear (means over batch, mean_d over dimensions, Gamma less its batch mean):
//	    E[Gamma·Phi]/(std(Gamma)·std(Phi) + 1e-8) - E mean_d(grad Phi·v)/(|grad Phi|·|v| + 1e-8)^t
//	    + 1/2 E mean_d(grad Phi)² + 1/10 E(dPhi/dt)²,  Gamma = (1-t)·mean_d(eps² - x̄·eps/w)
package homotopy

import "fmt"

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
	// Draw maps u, uniform in [0,1), to a training time; it rises with u. See TimeDistribution for other distributions.
	Draw(u float64) float64
	// Weight multiplies the loss at t, so that no time drowns the others. See Weighted.
	Weight(t float64) float64
	// Condition is what the network is given for t, of order one: in [0, 1] up to t = 1.
	Condition(t float64) float64
	// Span returns the limits of the integration variable s in which a sample is carried from prior to data. Sampling
	// starts from N(0, w² I) at the first; on vp that is not quite the path's density there (see its file).
	Span() (from, to float64)
	// Time returns the t that belongs to s, and dt/ds: the flow is dx/ds = dt/ds · grad Phi(x, t).
	Time(s float64) (t, rate float64)
	// Variable returns the s that belongs to t, the inverse of Time.
	Variable(t float64) float64
	// Rate returns dt/ds at t. A network models Psi = dt/ds · Phi, the potential of the flow in s: its gradient is of
	// order one at all times, where that of Phi may span orders of magnitude.
	Rate(t float64) float64
}

// Names lists the schedules that Lookup knows.
func Names() []string { return []string{"linear", "vapo", "cosine", "vp"} }

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
	case "cosine":
		return cosine{priorStd}, nil
	case "vp":
		return vp{priorStd}, nil
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
