package homotopy

import (
	"vapo/lib/failure"
	"vapo/lib/graphop"
)

// Point describes the path at one time: x_t = Mu·x̄ + Sigma·eps, and the derivatives of Mu and Sigma in t.
type Point struct {
	Mu, Sigma   float64
	DMu, DSigma float64 // per unit of t
}

// LogDensity solves L6 for log rhobar(x, t), in nats, up to a constant that depends on t only. A larger value means
// that x is more like the data. phi is Phi(x, t), the potential of the flow in t, and square is |x|².
//
// Phi itself does not measure the density, because it also contains the quadratic term of L6. Near t = 1, where g goes
// to 0, Phi contains nothing else. So t must be well inside (0, 1). At x = mu·x̄ the result is the log of a kernel
// density estimate at x̄, over the data, with bandwidth sigma/mu.
func (p Point) LogDensity(phi, square float64) float64 {
	return (phi - p.DMu*square/(2*p.Mu)) / (p.Sigma * (p.Sigma*p.DMu/p.Mu - p.DSigma))
}

// Schedule is a path from noise to data, with training times, loss weights, and the variable in which sampling
// integrates.
type Schedule interface {
	Name() string
	// At returns the path at time t. At t = 0, Sigma² is w²(1-Mu²).
	At(t float64) Point
	// Draw maps u in [0, 1) to a training time. The time rises with u. See Times for other distributions.
	Draw(u float64) float64
	// Weight multiplies the loss at t. See Weighted.
	Weight(t float64) float64
	// BoundedInnovation reports whether the innovation of the energy form has bounded variance per unit of the
	// integration variable. If not, the energy objective needs the weight sigma. See ForObjective.
	BoundedInnovation() bool
	// Condition returns the network's input for t. It is in [0, 1] for t up to 1, and of order one beyond.
	Condition(t float64) float64
	// ConditionAt returns Condition(Time(s)) as a node, for integration variables s [N, 1] within Span.
	ConditionAt(s *graphop.Node) *graphop.Node
	// Span returns the limits of the integration variable s between which a sample is carried from prior to data. Sampling
	// starts from N(0, w² I) at s = from. On vp the density of the path at its start is only nearly N(0, w² I).
	Span() (from, to float64)
	// Time returns the time t at the integration variable s, and dt/ds. The flow is dx/ds = dt/ds · grad Phi(x, t).
	Time(s float64) (t, rate float64)
	// Variable returns the integration variable s at time t. It is the inverse of Time.
	Variable(t float64) float64
	// Rate returns dt/ds at t. A network models Psi = dt/ds · Phi, the potential of the flow in s. The gradient of Psi
	// is of order one at all times, whereas the gradient of Phi may span orders of magnitude.
	Rate(t float64) float64
}

// Names lists the names that Lookup accepts.
func Names() []string { return []string{"linear", "cosine", "vapo", "vp"} }

// Bounds on w. Data are of order one, and with w outside these bounds squares may overflow or underflow in float32.
const (
	minPriorStd = 1e-3
	maxPriorStd = 1e3
)

// Lookup returns the schedule with the given name for the prior N(0, priorStd² I).
func Lookup(name string, priorStd float64) (Schedule, error) {
	if !(priorStd >= minPriorStd && priorStd <= maxPriorStd) {
		return nil, failure.New(failure.Usage, "", "prior standard deviation is %v, expected %v to %v",
			priorStd, minPriorStd, maxPriorStd)
	}
	switch name {
	case "linear":
		return linear{w: priorStd}, nil
	case "vapo":
		return newVAPO(priorStd, vapoLikelihoodStd), nil
	case "cosine":
		return cosine{w: priorStd}, nil
	case "vp":
		return vp{w: priorStd}, nil
	}
	return nil, unknown("schedule", name, Names())
}

func unknown(what, name string, known []string) error {
	return failure.New(failure.Usage, "", "%s %q is unknown: expected one of %v", what, name, known)
}

// edge is the distance that linear, cosine and vp keep from t = 1, where their sigma is 0 and the velocity given x is
// not defined. They also begin at edge instead of 0, in their integration variables. plain.Draw also returns times
// above 1-edge, but At then returns the point at 1-edge.
const edge = 1e-5

// unweighted is the common part of schedules whose loss has the weight 1 at all times.
type unweighted struct{}

func (unweighted) Weight(float64) float64  { return 1 }
func (unweighted) BoundedInnovation() bool { return false }

// plain is the common part of the schedules that are integrated in t itself, so that Psi is Phi.
type plain struct{ unweighted }

func (plain) Draw(u float64) float64         { return edge + float64((1-edge)*u) }
func (plain) Rate(float64) float64           { return 1 }
func (plain) Condition(t float64) float64    { return t }
func (plain) Span() (from, to float64)       { return edge, 1 - edge }
func (plain) Time(s float64) (t, dt float64) { return s, 1 }
func (plain) Variable(t float64) float64     { return t }

func (plain) ConditionAt(s *graphop.Node) *graphop.Node { return s }
