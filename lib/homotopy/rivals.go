package homotopy

import (
	"vapo/lib/failure"
	"vapo/lib/graphop"
)

// Output names what a network models. The method uses networks that model a potential. The other outputs are those of
// rivals, networks without a potential, with which the method is compared. A rival trains at half the cost, because its
// loss contains no gradient with respect to x.
type Output string

// The outputs.
const (
	Potential Output = ""         // Psi, whose gradient is the velocity
	Velocity  Output = "velocity" // dx/ds itself (R1)
	Noise     Output = "noise"    // eps (R2), only on vp
)

// OutputOf returns the output that an objective trains.
func OutputOf(objective string) Output {
	switch objective {
	case "velocity":
		return Velocity
	case "denoising":
		return Noise
	}
	return Potential
}

// CheckOutput returns an error if networks with this output cannot follow the schedule.
func CheckOutput(o Output, schedule string) error {
	switch o {
	case Potential, Velocity:
		return nil
	case Noise:
		if schedule == "vp" {
			return nil
		}
		return failure.New(failure.Usage, "use the schedule vp, or the objective velocity",
			"a network that predicts the noise cannot follow schedule %s: it needs vp, where mu is never 0", schedule)
	}
	return unknown("output", string(o), []string{string(Velocity), string(Noise)})
}

// VelocityOf returns one component of the velocity dx/dt of the flow by R2. x and f are the same component of the point
// and of the noise that a network predicts there.
func (p Point) VelocityOf(x, f float64) float64 {
	rate := p.DMu / p.Mu
	return float64(rate*x) - float64((float64(p.Sigma*rate)-p.DSigma)*f)
}

// VelocityOfNoise returns the velocity of R2 per unit of the integration variable. x [N, D] are points, variable [N, 1]
// holds their integration variables, and f [N, D] is the noise that a network predicts there. The schedule s must be
// vp, which CheckOutput ensures. With sigma² = w²(1 - mu²), R2 is
//
//	dx/dt = beta/2·(x - w/sqrt(1-mu²)·f)
func VelocityOfNoise(s Schedule, x, f, variable *graphop.Node) *graphop.Node {
	r := graphop.Affine(variable, -1, 1) // sqrt(q), see vp
	q := graphop.Square(r)
	beta := graphop.Affine(q, vpBetaPrior-vpBetaData, vpBetaData)
	b := graphop.Mul(q, graphop.Affine(q, (vpBetaPrior-vpBetaData)/2.0, vpBetaData))
	factor := graphop.Div(graphop.Fill(b, priorStd(s), b.Shape()...), graphop.Sqrt(oneMinusExp(b)))
	return graphop.Mul(graphop.Mul(r, beta), graphop.Sub(x, graphop.Mul(factor, f)))
}

// oneMinusExp returns 1 - exp(-b) for b >= 0 with a relative error of 1e-6. In float32, the formula itself suffers from
// cancellation for small b. Below b = 0.1, the value is the sum of the first five terms of b - b²/2 + b³/6 - …
func oneMinusExp(b *graphop.Node) *graphop.Node {
	const small, terms = 0.1, 5
	series := graphop.Fill(b, 1, b.Shape()...)
	for k := terms; k > 1; k-- {
		series = graphop.Affine(graphop.Mul(series, b), -1/float64(k), 1)
	}
	exact := graphop.Affine(graphop.Exp(graphop.Neg(b)), -1, 1)
	large := graphop.Heaviside(graphop.AddScalar(b, -small))
	return graphop.Where(large, exact, graphop.Mul(b, series))
}
