package ode

import "vapo/lib/graphop"

// The step controller is that of Hairer, Nørsett and Wanner, II.4. Its constants are those of SciPy's solve_ivp, so
// that the numbers of evaluations are comparable.
const (
	safety    = 0.9
	minFactor = 0.2
	maxFactor = 10
)

// resolution is 4 times the relative spacing of float32 numbers. f gets times in float32, so steps shorter than
// resolution·|t| are useless.
const resolution = 4.0 / (1 << 23)

// States of each row, [n, 1], and of the block.
const (
	stateLeft     = "ode/left"     // the time from the beginning of the trial step to the end of the interval
	stateH        = "ode/h"        // the length of the trial step; 0 if the row is at the end or has failed
	stateTries    = "ode/tries"    // trial steps so far
	stateRejected = "ode/rejected" // 1 if the row's last trial step was rejected
	stateFailed   = "ode/failed"   // the cause of a failure, see causes; 0 if the row has not failed
	stateActive   = "ode/active"   // the number of rows that have not reached the end; 0 if a row failed
)

// causes are the errors of the values of stateFailed.
var causes = []error{1: ErrNonFinite, 2: ErrMaxSteps, 3: ErrStepSize}

// adaptiveStep builds the graph of one run of a solver that chooses its steps. The error estimate err of a step from x
// to x' satisfies
//
//	e = sqrt(mean_j (err_j / (ATol + RTol·max(|x_j|, |x'_j|)))²) <= 1
//
// in every accepted step, where the mean is over the d values of the row. A trial step whose result is not finite is
// rejected like one with too large an error. A row therefore fails with ErrNonFinite only if shorter steps do not help,
// or if f is not finite at the start.
func (b *builder) adaptiveStep(flow Flow, a Adaptive) error {
	n := b.x.Shape()[0]
	row := func(name string) *graphop.Node { return b.declare(name, n, 1) }
	left, h, tries := row(stateLeft), row(stateH), row(stateTries)
	rejected, failed := row(stateRejected), row(stateFailed)
	t := graphop.Sub(b.at(controlTime), left)
	k, err := b.evaluate(flow, graphop.Add(t, graphop.Mul(h, b.at(controlLength))))
	if err != nil {
		return err
	}
	start, probe, last := b.at(controlStart), b.at(controlProbe), b.at(controlLast)
	scaleX := a.scale(abs(b.x))
	active := and(positive(left), not(failed))

	// The error e, and all that follows from it, is used only after the last stage. The point is then already the result
	// x', because the method is FSAL.
	estimate := graphop.Mul(sum(k, func(i int) *graphop.Node { return graphop.Fill(h, b.tab.E[i], 1, 1) }), h)
	e := rms(estimate, a.scale(graphop.Max(abs(b.x), abs(b.point))))
	finite := and(graphop.IsFinite(e), graphop.IsFinite(graphop.Sum(b.point, 1)))
	e = graphop.Where(finite, e, graphop.Fill(e, 1e30, 1, 1))
	ended := and(last, active)
	accepted := and(ended, not(positive(graphop.AddScalar(e, -1))))
	refused := and(ended, not(accepted))

	limit := graphop.Where(rejected, graphop.Fill(h, 1, 1, 1), graphop.Fill(h, maxFactor, 1, 1))
	factor := graphop.Min(limit, graphop.Scale(power(e, -1/float64(b.tab.EmbeddedOrder+1)), safety))
	next := graphop.Mul(h, atLeast(factor, minFactor))
	left1 := graphop.Sub(left, graphop.Mul(accepted, h))
	tries1 := graphop.Add(tries, ended)

	// Choose the length of the next trial step. The first two evaluations have rules of their own. No step goes beyond
	// the end of the interval; a step that almost reaches the end is extended to it, because rounding could otherwise
	// leave a last step of almost zero length.
	length := graphop.Where(ended, next, h)
	length = graphop.Where(start, b.firstLength(k[0], scaleX), length)
	length = graphop.Where(probe, b.secondLength(k[0], scaleX, h), length)
	length = graphop.Where(positive(graphop.Sub(graphop.Scale(length, 1+1e-6), left1)), left1, length)

	// If the tolerances are too small for float32, dividing by them overflows, and the length is 0 or not a number.
	failure := graphop.Where(and(positive(left1), not(positive(length))), code(h, 3), zero(h))
	failure = graphop.Where(and(start, not(graphop.IsFinite(graphop.Sum(k[0], 1)))), code(h, 1), failure)
	tooMany := and(and(ended, positive(left1)), not(positive(graphop.Affine(tries1, -1, float64(a.MaxSteps)))))
	failure = graphop.Where(tooMany, code(h, 2), failure)
	tooShort := and(refused, positive(graphop.Sub(atLeast(graphop.Scale(abs(t), resolution), 1e-37), next)))
	failure = graphop.Where(tooShort, graphop.Where(finite, code(h, 3), code(h, 1)), failure)
	failed1 := graphop.Where(failed, failed, failure)
	length = graphop.Where(failed1, zero(h), length)

	// The last stage of an accepted step is the first stage of the next step.
	x1 := graphop.Where(accepted, b.point, b.x)
	k[0] = graphop.Where(accepted, b.f, k[0])
	clearStages(k[1:], graphop.Max(start, last))
	b.keep(k)
	b.set(b.x, x1)
	b.set(b.point, b.next(x1, length, k))
	b.set(left, left1)
	b.set(h, length)
	b.set(tries, tries1)
	b.set(rejected, graphop.Where(ended, refused, rejected))
	b.set(failed, failed1)
	unfinished := graphop.Sum(and(positive(left1), not(failed1)), 0)
	b.set(b.declare(stateActive, 1, 1), graphop.Where(graphop.Sum(failed1, 0), zero(h), unfinished))
	return nil
}

// firstLength returns the length of a cautious first step; see Hairer, Nørsett and Wanner, II.4, "Starting Step Size".
func (b *builder) firstLength(k0, scale *graphop.Node) *graphop.Node {
	d0, d1 := rms(b.x, scale), rms(k0, scale)
	small := graphop.Max(not(positive(graphop.AddScalar(d0, -1e-5))), not(positive(graphop.AddScalar(d1, -1e-5))))
	return graphop.Where(small, graphop.Fill(d0, 1e-6, 1, 1), graphop.Scale(graphop.Div(d0, d1), 0.01))
}

// secondLength returns the length of the first step, from the change of f over an Euler step of length h; see the
// section that firstLength follows.
func (b *builder) secondLength(k0, scale, h *graphop.Node) *graphop.Node {
	d1, d2 := rms(k0, scale), graphop.Div(rms(graphop.Sub(b.f, k0), scale), h)
	m := graphop.Max(d1, d2)
	guess := power(graphop.Scale(m, 100), -1/float64(b.tab.EmbeddedOrder+1))
	guess = graphop.Where(positive(m), guess, atLeast(graphop.Scale(h, 1e-3), 1e-6))
	guess = graphop.Min(graphop.Scale(h, 100), guess)
	return graphop.Where(positive(guess), guess, h) // if f is not finite at the probe, keep h: the controller shortens it
}

// scale returns the tolerance of an error for coordinates of the given size.
func (a Adaptive) scale(size *graphop.Node) *graphop.Node {
	return graphop.Affine(size, a.RTol, a.ATol)
}

// rms returns the root mean square of v/scale over each row, [n, 1].
func rms(v, scale *graphop.Node) *graphop.Node {
	return graphop.Sqrt(graphop.Mean(graphop.Square(graphop.Div(v, scale)), 1))
}

// power returns v^p for v >= 0.
func power(v *graphop.Node, p float64) *graphop.Node {
	return graphop.Exp(graphop.Scale(graphop.Log(v), p))
}

func abs(v *graphop.Node) *graphop.Node { return graphop.Max(v, graphop.Neg(v)) }

func atLeast(v *graphop.Node, bound float64) *graphop.Node {
	return graphop.Max(v, graphop.Fill(v, bound, 1, 1))
}

// Logical operations on 0 and 1.
func positive(v *graphop.Node) *graphop.Node { return graphop.Heaviside(v) }
func and(a, b *graphop.Node) *graphop.Node   { return graphop.Mul(a, b) }
func not(v *graphop.Node) *graphop.Node {
	return graphop.Where(v, zero(v), graphop.Fill(v, 1, 1, 1))
}

// code returns the value of stateFailed for a cause. It broadcasts to the shape of like.
func code(like *graphop.Node, cause int) *graphop.Node {
	return graphop.Fill(like, float64(cause), 1, 1)
}
