package homotopy

// LogDensity returns log rhobar(x, t) up to a constant that depends on t alone, from the potential's value at x (equation
// L6 solved for the density):
//
//	(phi - mu'|x|²/(2 mu)) / g,  g = sigma (sigma mu'/mu - sigma')
//
// phi is Phi(x, t), the potential of the flow in t, and square is |x|². Larger is more like the data. Phi itself says
// nothing of the kind: it holds the quadratic term, and as g goes to 0 towards t = 1 nothing else. So t must be well
// inside of (0, 1); the result has the unit of a log density, nats.
//
// At x = mu·x̄ it is the log of a kernel density estimate at x̄, over the data, of bandwidth sigma/mu.
func (p Point) LogDensity(phi, square float64) float64 {
	return (phi - p.DMu*square/(2*p.Mu)) / (p.Sigma * (p.Sigma*p.DMu/p.Mu - p.DSigma))
}
