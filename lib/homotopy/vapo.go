package homotopy

import (
	"math"

	"vapo/lib/graphop"
	"vapo/lib/portable"
)

// vapoLikelihoodStd is n of H1, the standard deviation of p(x̄|x).
const vapoLikelihoodStd = 0.01

// vapo is the paper's homotopy, a = 1 and b = t in H2:
//
//	mu = t/(r+t), sigma² = n²/(r+t), r = n²/w².
//
// mu already reaches 1/2 at t = r, so most of the change happens at very small t. The flow is therefore integrated in s
// = ln t, and training times are uniform in s. The network models Psi = t·Phi, whose gradient is the velocity per unit
// of s. The loss |grad Psi - t·v|² is that of Phi with the weight t². Without this weight the velocities of size 1e4 at
// t << r would dominate.
//
// sigma is positive at all t, so the same formulas hold beyond t = 1 (see Until).
type vapo struct {
	unweighted
	n, r, first float64
}

func newVAPO(w, n float64) vapo {
	r := n * n / (w * w)
	return vapo{n: n, r: r, first: portable.Log(1e-3 * r)}
}

func (vapo) Name() string { return "vapo" }

// BoundedInnovation overrides the method of unweighted; see ForObjective.
func (vapo) BoundedInnovation() bool { return true }

func (v vapo) At(t float64) Point {
	d := v.r + t
	return Point{
		Mu: t / d, Sigma: v.n / math.Sqrt(d),
		DMu: v.r / (d * d), DSigma: -0.5 * v.n / (d * math.Sqrt(d)),
	}
}

// Condition rises from 0 at the first time to 1 at t = 1, linearly in ln t. Before the first time it stays 0: ln t
// diverges there, although mu < 1e-3 hardly changes. Beyond t = 1 it keeps its slope, because the flow still changes:
// for w = 1 and t = 10 it is 1.14.
func (v vapo) Condition(t float64) float64 { return max(0, 1-portable.Log(t)/v.first) }

func (v vapo) Draw(u float64) float64       { return portable.Exp(v.first * (1 - u)) }
func (v vapo) Rate(t float64) float64       { return max(t, portable.Exp(v.first)) }
func (v vapo) Span() (from, to float64)     { return v.first, 0 }
func (vapo) Time(s float64) (t, dt float64) { t = portable.Exp(s); return t, t }
func (vapo) Variable(t float64) float64     { return portable.Log(t) }

// ConditionAt relies on the condition being linear in s = ln t.
func (v vapo) ConditionAt(s *graphop.Node) *graphop.Node {
	return graphop.Max(graphop.Affine(s, -1/v.first, 1), graphop.Fill(s, 0, 1, 1))
}
